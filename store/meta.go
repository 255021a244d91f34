package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A Cursor says how far the org's Tasks have been read.
type Cursor struct {
	// Since is the lower bound of the next query, by the org's stamps.
	Since time.Time `json:"since"`
	// Read is when the last complete poll began, by the org's clock: a row stamped before it
	// that is new has become visible late.
	Read time.Time `json:"read,omitzero"`
	// Start is the first run's lower bound of CreatedDate. It stays: older Tasks never count.
	Start time.Time `json:"start"`
}

// Pin ties the store to one org for good.
func (s *Store) Pin(ctx context.Context, orgID string) error {
	return s.update(ctx, func(tx *txn) error {
		meta := tx.Bucket(bMeta)
		var pinned string
		ok, err := get(meta, []byte("org"), &pinned)
		if err != nil {
			return err
		}
		if ok && pinned != orgID {
			return fmt.Errorf("%w: %s belongs to %s, the login is for %s; set CALLPOINT_STORE to another file, or log in to the first org",
				ErrOtherOrg, s.path, pinned, orgID)
		}
		if ok {
			return nil
		}
		return put(meta, []byte("org"), orgID)
	})
}

// Org is the id of the org that the store is pinned to; empty before the first login.
func (s *Store) Org() (org string, err error) {
	_, err = s.State("org", &org)
	return org, err
}

// Cursor gives how far Tasks have been read; ok is false before the first poll.
func (s *Store) Cursor() (c Cursor, ok bool, err error) {
	ok, err = s.State("cursor", &c)
	return c, ok, err
}

// Earliest is the time of the earliest event ever stored; zero if there is none.
func (s *Store) Earliest() (t time.Time, err error) {
	_, err = s.State("earliest", &t)
	return t, err
}

// State reads a small named value into v; ok is false where it was never set.
func (s *Store) State(name string, v any) (ok bool, err error) {
	err = s.view(func(tx *txn) error {
		ok, err = get(tx.Bucket(bMeta), []byte(name), v)
		return err
	})
	return ok, err
}

// SetState stores a small named value.
func (s *Store) SetState(ctx context.Context, name string, v any) error {
	if _, err := json.Marshal(v); err != nil {
		return fmt.Errorf("state %s: %w", name, err)
	}
	return s.update(ctx, func(tx *txn) error {
		return put(tx.Bucket(bMeta), []byte(name), v)
	})
}

// DropState removes a small named value; one that is not there is no error.
func (s *Store) DropState(ctx context.Context, name string) error {
	return s.update(ctx, func(tx *txn) error { return tx.Bucket(bMeta).Delete([]byte(name)) })
}
