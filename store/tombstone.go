package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"time"
)

// tombstone is what keeps a forgotten visitor out: the hash says nothing to those who do
// not know the id already.
type tombstone struct {
	At time.Time `json:"at"`
}

func digest(salt []byte, visitor string) []byte {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(visitor))
	return h.Sum(nil)
}

// isForgotten costs next to nothing as long as nobody was forgotten.
func isForgotten(tx *txn, visitor string) (bool, error) {
	b := tx.Bucket(bForgotten)
	if k, _ := b.Cursor().First(); k == nil || visitor == "" {
		return false, nil
	}
	var salt []byte
	if _, err := get(tx.Bucket(bMeta), []byte("salt"), &salt); err != nil {
		return false, err
	}
	return b.Get(digest(salt, visitor)) != nil, nil
}

// IsForgotten reports whether a visitor was erased and is kept out.
func (s *Store) IsForgotten(visitor string) (gone bool, err error) {
	err = s.view(func(tx *txn) error {
		gone, err = isForgotten(tx, visitor)
		return err
	})
	return gone, err
}

// ErasurePending reports whether the file may still hold bytes of an erased visitor.
func (s *Store) ErasurePending() (bool, error) {
	mark, err := s.erased()
	return !mark.IsZero(), err
}

// erased is when a visitor was erased whose bytes the file may still hold; zero: none.
func (s *Store) erased() (t time.Time, err error) {
	_, err = s.State("erased", &t)
	return t, err
}

// erasureDone notes that the file was compacted after the erasure at t, unless another
// one came in between.
func (s *Store) erasureDone(ctx context.Context, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return s.update(ctx, func(tx *txn) error {
		var last time.Time
		if _, err := get(tx.Bucket(bMeta), []byte("erased"), &last); err != nil || !last.Equal(t) {
			return err
		}
		return put(tx.Bucket(bMeta), []byte("erased"), time.Time{})
	})
}
