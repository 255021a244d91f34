package boltkv

import (
	"bytes"
	"fmt"
	"iter"

	"callpoint/store/kv"

	bolt "go.etcd.io/bbolt"
)

// A tx is a bbolt transaction. It records the keys that are written while a copy of the
// file is being made.
type tx struct {
	*bolt.Tx
	names   []string
	touched map[string]struct{}      // bucket, then key; nil: no copy is being made
	opened  [maxBuckets]*bolt.Bucket // finding one costs bbolt a search
	fill    float64                  // of the pages that are split; 0: bbolt's default
}

// maxBuckets is how many buckets a DB can have.
const maxBuckets = 64

func (db *DB) newTx(b *bolt.Tx) *tx {
	return &tx{Tx: b, names: db.o.Buckets}
}

// at returns a bucket; nil if the file lacks it.
func (t *tx) at(b kv.Bucket) *bolt.Bucket {
	if t.opened[b] == nil {
		t.opened[b] = t.Tx.Bucket([]byte(t.names[b]))
	}
	if t.opened[b] != nil && t.fill > 0 {
		t.opened[b].FillPercent = t.fill
	}
	return t.opened[b]
}

func (t *tx) Get(b kv.Bucket, key []byte) []byte {
	if bucket := t.at(b); bucket != nil {
		return bucket.Get(key)
	}
	return nil
}

func (t *tx) Put(b kv.Bucket, key, value []byte) error {
	bucket, err := t.touch(b, key)
	if err != nil {
		return err
	}
	if value == nil {
		value = []byte{} // which Get distinguishes from an absent key
	}
	return bucket.Put(key, value)
}

func (t *tx) Delete(b kv.Bucket, key []byte) error {
	bucket, err := t.touch(b, key)
	if err != nil {
		return err
	}
	return bucket.Delete(key)
}

// touch returns a bucket that is about to be written, and records the key.
func (t *tx) touch(b kv.Bucket, key []byte) (*bolt.Bucket, error) {
	bucket := t.at(b)
	if bucket == nil {
		return nil, fmt.Errorf("%w: bucket %s is missing; restore a backup", kv.ErrDamaged, t.names[b])
	}
	if t.touched != nil {
		t.touched[string(append([]byte{byte(b)}, key...))] = struct{}{}
	}
	return bucket, nil
}

func (t *tx) Hint(...kv.Range) {}

// Local marks a transaction to which hints are of no use.
func (t *tx) Local() {}

func (t *tx) Scan(r kv.Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		bucket := t.at(r.Bucket)
		if bucket == nil {
			return
		}
		c, n := bucket.Cursor(), 0
		for k, v := begin(c, r); k != nil && within(r, k); n++ {
			if r.Limit > 0 && n == r.Limit || !yield(k, v) {
				return
			}
			switch {
			case r.Reverse:
				k, v = c.Prev()
			case r.Heads:
				id, _, _ := bytes.Cut(k, []byte{0})
				k, v = c.Seek(append(bytes.Clone(id), 1)) // the keys of an id lie between id 00 and id 01
			default:
				k, v = c.Next()
			}
		}
	}
}

// First returns the first row of a range that has no limit of its own.
func (t *tx) First(r kv.Range) (k, v []byte) {
	bucket := t.at(r.Bucket)
	if bucket == nil {
		return nil, nil
	}
	if k, v = begin(bucket.Cursor(), r); k == nil || !within(r, k) {
		return nil, nil
	}
	return k, v
}

// begin returns where a scan begins.
func begin(c *bolt.Cursor, r kv.Range) (k, v []byte) {
	switch {
	case !r.Reverse && r.From == nil:
		return c.First()
	case !r.Reverse:
		return c.Seek(r.From)
	case r.To == nil:
		return c.Last()
	}
	if k, _ = c.Seek(r.To); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// within reports whether a scan has not passed its end yet.
func within(r kv.Range, k []byte) bool {
	if r.Reverse {
		return bytes.Compare(k, r.From) >= 0
	}
	return r.To == nil || bytes.Compare(k, r.To) < 0
}
