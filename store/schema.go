package store

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"callpoint/store/kv"
)

// schema is the version of the keys and payloads that this program writes.
const schema = 4

// migrations take a store from the schema of their index plus one to the next, each in
// one transaction with the identity record of the new schema. Missing buckets are created
// before.
var migrations = [schema - 1]func(kv.Tx) error{
	// 2: summaries of what retention dropped, and tombstones of erased visitors.
	nothing,
	// 3: values in CBOR, the content of a touchpoint in a bucket of its own, marks of requests
	// in flight, reasons of Tasks. Older values stay readable, and are converted when they are
	// next written: a file of millions opens at once.
	nothing,
	// 4: the person that a call counts for, and the one that a record hangs from; the dirty journeys by generation, the reasons that are due under their new name,
	// the bounds of retention in an index, a salt from the start.
	migrate4,
}

func nothing(kv.Tx) error { return nil }

func migrate4(tx kv.Tx) error {
	var last uint64
	for k, v := range tx.Scan(kv.Range{Bucket: bDirty}) {
		g, err := readGeneration(v)
		if err != nil {
			return err
		}
		last = max(last, g)
		if err := tx.Put(bGenerations, bytes.Clone(v), bytes.Clone(k)); err != nil {
			return err
		}
	}
	for k, v := range tx.Scan(kv.Range{Bucket: bReasons}) {
		var r Reason
		if err := open(k, v, &r); err != nil {
			return err
		}
		if r.pending() {
			if err := tx.Put(bReasonsDue, append(timeKey(r.Next), k...), nil); err != nil {
				return err
			}
		}
	}
	for k, v := range tx.Scan(kv.Range{Bucket: bPruned}) {
		var p pruned
		if err := open(k, v, &p); err != nil {
			return err
		}
		if err := tx.Put(bPrunedBefore, bytes.Clone(k), timeKey(p.Before)); err != nil {
			return err
		}
	}
	// Without a fingerprint every journey is marked: what persons need of them is not stored yet.
	return errors.Join(put(tx, bMeta, []byte("generation"), last), tx.Delete(bMeta, []byte("fingerprint")), ensureSalt(tx))
}

// ensureSalt makes the secret of the tombstones' digests.
func ensureSalt(tx kv.Tx) error {
	var salt []byte
	if ok, err := get(tx, bMeta, []byte("salt"), &salt); ok || err != nil {
		return err
	}
	salt = make([]byte, 32)
	_, _ = rand.Read(salt) // it never fails
	return put(tx, bMeta, []byte("salt"), salt)
}

// identity is the record that distinguishes a store from another program's file.
type identity struct {
	Format  string    `json:"format"`
	Schema  int       `json:"schema"`
	Created time.Time `json:"created"`
}

const format = "callpoint store"

// found initializes an empty store.
func found(tx kv.Tx, now time.Time) error {
	return errors.Join(ensureSalt(tx), putIdentity(tx, identity{format, schema, now.UTC()}))
}

// putIdentity writes JSON, so that other programs can identify the store.
func putIdentity(tx kv.Tx, id identity) error {
	payload, err := json.Marshal(id)
	if err != nil {
		return err
	}
	key := []byte("identity")
	return tx.Put(bMeta, key, envelope(versionJSON, key, payload))
}

func readIdentity(tx kv.Tx) (id identity, err error) {
	ok, err := get(tx, bMeta, []byte("identity"), &id)
	if err != nil {
		return id, err
	}
	if !ok || id.Format != format {
		return id, errOther
	}
	return id, nil
}

var errOther = errors.New("it is another program's file; CALLPOINT_STORE must name a callpoint store")

// identify refuses a file that is not a store, and one of a later program.
func identify(tx kv.Tx) error {
	id, err := readIdentity(tx)
	if err == errOther && hasAny(tx, kv.Range{Bucket: bMeta}) {
		return fmt.Errorf("%w, or an unfinished copy: make the copy again under another name", errOther)
	}
	if err == nil && id.Schema > schema {
		err = fmt.Errorf("its schema is %d, this program reads %d: install the callpoint that wrote it, or a later one", id.Schema, schema)
	}
	return err
}

// migrate brings an older store up to date. update runs a function in a transaction in
// which all buckets exist.
func migrate(view, update func(func(kv.Tx) error) error, onStep func(string)) error {
	var id identity
	err := view(func(tx kv.Tx) (err error) {
		id, err = readIdentity(tx)
		return err
	})
	if err != nil {
		return err
	}
	for id.Schema < schema {
		if id.Schema < 1 {
			return fmt.Errorf("%w: its schema is %d; restore a backup", ErrDamaged, id.Schema)
		}
		onStep(fmt.Sprintf("migrating the store: schema %d of %d", id.Schema+1, schema))
		next := identity{id.Format, id.Schema + 1, id.Created}
		err := update(func(tx kv.Tx) error {
			if err := migrations[id.Schema-1](tx); err != nil {
				return err
			}
			return putIdentity(tx, next)
		})
		if err != nil {
			return fmt.Errorf("migrate to schema %d: %w", next.Schema, err)
		}
		id = next
	}
	return nil
}
