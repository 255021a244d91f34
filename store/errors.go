package store

import (
	"errors"
	"fmt"
	"net/http"

	berrors "go.etcd.io/bbolt/errors"
)

// Sentinels for conditions that callers branch on.
var (
	ErrInUse    = errors.New("store is in use by another process")
	ErrNotFound = errors.New("not found")
	ErrOtherOrg = errors.New("store belongs to another org")
	ErrClosed   = errors.New("store is closed")
	ErrDamaged  = errors.New("store is damaged")
)

// A RefusedError says that a write was not taken and nothing of it was kept.
// HTTPStatus is what a collector answers: 429, 507 or 503.
type RefusedError struct {
	Status int
	Err    error
}

func (e *RefusedError) Error() string   { return e.Err.Error() }
func (e *RefusedError) Unwrap() error   { return e.Err }
func (e *RefusedError) HTTPStatus() int { return e.Status }

var errBusy = &RefusedError{http.StatusTooManyRequests, errors.New("store is busy: too many writes are waiting")}

// refused classifies the error of a commit.
func refused(err error) error {
	var r *RefusedError
	switch {
	case err == nil || errors.As(err, &r) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrOtherOrg):
		return err
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return &RefusedError{http.StatusServiceUnavailable, ErrClosed}
	case full(err):
		return errFull(err)
	default:
		return &RefusedError{http.StatusServiceUnavailable, fmt.Errorf("store does not take writes: %w", err)}
	}
}
