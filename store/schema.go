package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// schema is the version of the keys and payloads that this program writes.
const schema = 4

// migrations take a store from the schema of their index plus one to the next, each in
// one transaction with the identity record that says so.
var migrations = [schema - 1]func(*bolt.Tx) error{
	// 2: what retention and erasure leave behind.
	addBuckets(bPruned, bForgotten),
	// 3: values in CBOR, a touchpoint's content beside its state. Older ones stay readable,
	// and move when they are written: a file of millions opens at once.
	// Marks of what is on its way; and what Tasks are to say of their calls.
	addBuckets(bContents, bSending, bReasons, bUntold),
	// 4: the person that a call counts for, and the one that a record hangs from.
	addBuckets(bCallers, bUnnamed, bConversions, bUnasked, bPersonless, bUnplaced),
}

// addBuckets is the migration to a schema that has more of them.
func addBuckets(names ...[]byte) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	}
}

// identity is the record that tells a callpoint store from another program's file.
type identity struct {
	Format  string    `json:"format"`
	Schema  int       `json:"schema"`
	Created time.Time `json:"created"`
}

const format = "callpoint store"

// putIdentity writes JSON: programs that know nothing else must be able to tell what it is.
func putIdentity(tx *bolt.Tx, id identity) error {
	payload, err := json.Marshal(id)
	if err != nil {
		return err
	}
	key := []byte("identity")
	return tx.Bucket(bMeta).Put(key, envelope(versionJSON, key, payload))
}

func readIdentity(tx *bolt.Tx) (id identity, err error) {
	b := tx.Bucket(bMeta)
	if b == nil {
		return id, errOther
	}
	ok, err := get(&bucket{Bucket: b}, []byte("identity"), &id)
	if err != nil {
		return id, err
	}
	if !ok || id.Format != format {
		return id, errOther
	}
	return id, nil
}

var errOther = errors.New("it is another program's file; CALLPOINT_STORE must name a callpoint store")

// identify makes sure that the file is one of ours, and not of a later program.
func identify(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		id, err := readIdentity(tx)
		if err == nil && id.Schema > schema {
			err = fmt.Errorf("its schema is %d, this program reads %d: install the callpoint that wrote it, or a later one", id.Schema, schema)
		}
		return err
	})
}

// migrate brings an older store up to date.
func migrate(db *bolt.DB, o Options) error {
	var id identity
	err := db.View(func(tx *bolt.Tx) (err error) {
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
		o.OnStep(fmt.Sprintf("migrating the store: schema %d of %d", id.Schema+1, schema))
		err := db.Update(func(tx *bolt.Tx) error {
			if err := migrations[id.Schema-1](tx); err != nil {
				return err
			}
			id.Schema++
			return putIdentity(tx, id)
		})
		if err != nil {
			return fmt.Errorf("migrate to schema %d: %w", id.Schema, err)
		}
	}
	return db.View(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: bucket %s is gone; restore a backup", ErrDamaged, name)
			}
		}
		return nil
	})
}
