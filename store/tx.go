package store

import (
	"bytes"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A txn is a transaction whose buckets note what is written, for a copy under way.
type txn struct {
	*bolt.Tx
	touched map[string]struct{} // nil: nobody wants to know

	opened   []*bucket // finding one costs bbolt a search
	earliest time.Time // the earliest event stored, once an Add of the group has read it
}

// Bucket is one of buckets, all of which are there from the start.
func (t *txn) Bucket(name []byte) *bucket {
	for _, b := range t.opened {
		if bytes.Equal(b.name, name) {
			return b
		}
	}
	b := &bucket{t.Tx.Bucket(name), name, t.touched}
	t.opened = append(t.opened, b)
	return b
}

type bucket struct {
	*bolt.Bucket
	name    []byte
	touched map[string]struct{}
}

func (b *bucket) Put(key, value []byte) error {
	b.touch(key)
	return b.Bucket.Put(key, value)
}

func (b *bucket) Delete(key []byte) error {
	b.touch(key)
	return b.Bucket.Delete(key)
}

func (b *bucket) touch(key []byte) {
	if b.touched != nil {
		b.touched[string(prefixed(string(b.name), key))] = struct{}{}
	}
}

// put writes a value in its envelope.
func put(b *bucket, key []byte, v any) error {
	env, err := seal(key, v)
	if err != nil {
		return err
	}
	return b.Put(key, env)
}

// get reads a value into v; false means that there is none.
func get(b *bucket, key []byte, v any) (bool, error) {
	env := b.Get(key)
	if env == nil {
		return false, nil
	}
	return true, open(key, env, v)
}
