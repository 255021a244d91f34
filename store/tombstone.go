package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"callpoint/store/kv"
)

// A tombstone blocks a forgotten visitor. Its key is a salted hash, which reveals the id to
// nobody who does not have it already.
type tombstone struct {
	At time.Time `json:"at"`
}

func digest(salt []byte, visitor string) []byte {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(visitor))
	return h.Sum(nil)
}

// isForgotten reports whether a visitor is blocked. It is cheap as long as there are no
// tombstones.
func isForgotten(tx kv.Tx, visitor string) (bool, error) {
	if visitor == "" || !hasAny(tx, kv.Range{Bucket: bForgotten}) {
		return false, nil
	}
	var salt []byte
	if _, err := get(tx, bMeta, []byte("salt"), &salt); err != nil {
		return false, err
	}
	return tx.Get(bForgotten, digest(salt, visitor)) != nil, nil
}

// IsForgotten reports whether a visitor was erased and is blocked.
func (s *Store) IsForgotten(visitor string) (gone bool, err error) {
	err = s.view(func(tx kv.Tx) error {
		gone, err = isForgotten(tx, visitor)
		return err
	})
	return gone, err
}

// ErasurePending reports whether the file may still hold bytes of an erased visitor.
func (s *Store) ErasurePending() (bool, error) {
	erasedAt, err := s.erased()
	return !erasedAt.IsZero(), err
}

// erased returns the time of the last erasure whose bytes the file may still hold; zero: none.
func (s *Store) erased() (t time.Time, err error) {
	_, err = s.State("erased", &t)
	return t, err
}

// erasureDone records that the file was compacted after the erasure at t, unless there was
// another erasure meanwhile.
func (s *Store) erasureDone(ctx context.Context, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return s.update(ctx, func(tx kv.Tx) error {
		var last time.Time
		if _, err := get(tx, bMeta, []byte("erased"), &last); err != nil || !last.Equal(t) {
			return err
		}
		return put(tx, bMeta, []byte("erased"), time.Time{})
	})
}
