package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"callpoint/store/kv"
)

// A Cursor is how far the org's Tasks have been read.
type Cursor struct {
	// Since is the lower bound of the next query, by the org's stamps.
	Since time.Time `json:"since"`
	// Read is when the last complete poll began, by the org's clock: a new row with an
	// earlier stamp became visible late.
	Read time.Time `json:"read,omitzero"`
	// Start is the first run's lower bound of CreatedDate. It never moves: older Tasks are
	// not read.
	Start time.Time `json:"start"`
	// Source is the name of the source that the cursor is of; empty for Tasks.
	Source string `json:"-"`
}

// key is the cursor's name in the bucket meta.
func (c Cursor) key() []byte {
	if c.Source == "" {
		return []byte("cursor")
	}
	return []byte("cursor:" + c.Source)
}

// Pin binds the store to one org for good.
func (s *Store) Pin(ctx context.Context, orgID string) error {
	return s.update(ctx, func(tx kv.Tx) error {
		var pinned string
		ok, err := get(tx, bMeta, []byte("org"), &pinned)
		if err != nil {
			return err
		}
		if ok && pinned != orgID {
			return fmt.Errorf("%w: %s belongs to %s, the login is for %s; set CALLPOINT_STORE to another file, or log in to the first org",
				ErrOtherOrg, s.Path(), pinned, orgID)
		}
		if ok {
			return nil
		}
		return put(tx, bMeta, []byte("org"), orgID)
	})
}

// Org returns the id of the org that the store is pinned to; empty before the first login.
func (s *Store) Org() (org string, err error) {
	_, err = s.State("org", &org)
	return org, err
}

// Cursor returns how far Tasks have been read; ok is false before the first poll.
func (s *Store) Cursor() (c Cursor, ok bool, err error) { return s.CursorOf("") }

// CursorOf returns how far the rows of a source have been read; ok is false before its first
// poll. The empty name is that of Tasks.
func (s *Store) CursorOf(source string) (c Cursor, ok bool, err error) {
	c.Source = source
	ok, err = s.State(string(c.key()), &c)
	return c, ok, err
}

// Earliest returns the time of the earliest event ever stored; zero if there is none.
func (s *Store) Earliest() (t time.Time, err error) {
	_, err = s.State("earliest", &t)
	return t, err
}

// State reads a small named value into v; ok is false where it was never set.
func (s *Store) State(name string, v any) (ok bool, err error) {
	err = s.view(func(tx kv.Tx) error {
		ok, err = get(tx, bMeta, []byte(name), v)
		return err
	})
	return ok, err
}

// SetState stores a small named value.
func (s *Store) SetState(ctx context.Context, name string, v any) error {
	if _, err := json.Marshal(v); err != nil {
		return fmt.Errorf("state %s: %w", name, err)
	}
	if isPlace(name) && s.shared != nil {
		return s.SetShared(ctx, name, v)
	}
	return s.update(ctx, func(tx kv.Tx) error {
		return put(tx, bMeta, []byte(name), v)
	})
}

// DropState removes a small named value. It is no error if the value does not exist.
func (s *Store) DropState(ctx context.Context, name string) error {
	if isPlace(name) && s.shared != nil {
		return s.DropShared(ctx, name)
	}
	return s.update(ctx, func(tx kv.Tx) error { return tx.Delete(bMeta, []byte(name)) })
}
