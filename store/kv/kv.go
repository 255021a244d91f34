// Package kv is the seam between the store's records and the engine that keeps them:
// one ordered key-value transaction, with a few buckets of keys each.
//
// boltkv keeps a DB in a bbolt file, pgkv in PostgreSQL. kvtest holds every engine to what
// is written here.
package kv

import (
	"bytes"
	"context"
	"errors"
	"iter"
)

// A Bucket is one of the ordered key spaces of a DB: the index of its name in the list
// that the DB was opened with.
type Bucket uint8

// A DB is an ordered key-value store. Its methods may be called from many goroutines.
type DB interface {
	// View runs fn in a read transaction, which sees one snapshot and must be short.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn in a transaction, which it may share with other updates that wait at
	// the same time, and returns once the transaction is durable. An error of fn undoes
	// what fn wrote and is returned as it is. fn may run more than once: it sets its
	// results and does not add to them.
	Update(ctx context.Context, fn func(Tx) error) error
	// Name returns the file, or the database without its password.
	Name() string
	// Size returns the size on disk in bytes, and how much of it holds data.
	Size() (file, used int64, err error)
	// Writable returns nil while the DB takes writes. It does not write.
	Writable() error
	// Close ends the updates that were accepted, and closes the DB.
	Close() error
}

// A Tx is a transaction. It is used by one goroutine. Keys and values that it returns are
// valid until the transaction ends and must not be changed; those that it is given must
// not be changed before that.
//
// Get and Scan report no errors: where one fails it yields nothing, and the transaction
// fails with that error whatever its function returns.
type Tx interface {
	// Get returns the value of a key, which is not nil if the key exists.
	Get(b Bucket, key []byte) []byte
	// Put sets the value of a key, which is not empty. A nil value is an empty one.
	Put(b Bucket, key, value []byte) error
	// Delete removes a key. It is no error if the key does not exist.
	Delete(b Bucket, key []byte) error
	// Scan yields the keys of a range and their values in order. The loop over it must not
	// write to the bucket that it scans.
	Scan(r Range) iter.Seq2[[]byte, []byte]
	// Hint announces ranges that are about to be read, so that an engine across a network
	// can fetch them in one round trip. It never changes a result.
	Hint(all ...Range)
}

// A Range selects keys of one bucket.
type Range struct {
	Bucket  Bucket
	From    []byte // the first key that is included; nil: no bound
	To      []byte // the first key that is not included any more; nil: no bound
	Reverse bool   // from the last key to the first
	Limit   int    // how many keys at most; 0: no limit
	// Heads selects the first key of each id alone, where an id is what precedes the first
	// zero byte of a key. It excludes Reverse.
	Heads bool
	// Keys leaves the values out where that is cheaper.
	Keys bool
}

// Key returns the range of one key.
func Key(b Bucket, key []byte) Range {
	return Range{Bucket: b, From: key, To: append(key[:len(key):len(key)], 0)}
}

// Prefix returns the range of all keys with a prefix.
func Prefix(b Bucket, prefix []byte) Range {
	return Range{Bucket: b, From: prefix, To: after(prefix)}
}

// after returns the first key that is greater than every key with a prefix; nil for none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// First returns the first key of a range and its value; nil if the range is empty.
func First(tx Tx, r Range) (key, value []byte) {
	r.Limit = 1
	if direct, ok := tx.(interface {
		First(Range) (key, value []byte)
	}); ok {
		return direct.First(r) // without an iterator
	}
	for k, v := range tx.Scan(r) {
		return k, v
	}
	return nil, nil
}

// Remote reports whether hints are worth the cost of collecting them.
func Remote(tx Tx) bool {
	_, local := tx.(interface{ Local() })
	return !local
}

// The conditions of an engine that callers distinguish.
var (
	ErrInUse   = errors.New("store is in use by another process")
	ErrClosed  = errors.New("store is closed")
	ErrDamaged = errors.New("store is damaged")
	// ErrBusy refuses a write because too many are queued. It can be sent again.
	ErrBusy = errors.New("store is busy: too many writes are queued")
	// ErrFull refuses a write for lack of space.
	ErrFull = errors.New("store is full")
	// ErrAway: the database cannot be reached, or does not take writes, for now.
	ErrAway = errors.New("the database is away")
	// ErrNotLeader refuses a write because another instance leads, or none does.
	ErrNotLeader = errors.New("this instance does not lead")
)

// A Load describes what a write ingests.
type Load struct {
	Rows  int
	Bytes int64 // of memory that the write holds
}
