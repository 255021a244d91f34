package store

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// EachVisitor visits every visitor with events or sessions, by id, in short
// transactions, until fn returns false.
func (s *Store) EachVisitor(fn func(Journey) bool) error {
	for from := []byte{}; from != nil; {
		var page []Journey
		err := s.view(func(tx *txn) error {
			events, visits := tx.Bucket(bEvents).Cursor(), tx.Bucket(bVisits).Cursor()
			for len(page) < 100 {
				id := firstVisitor(events, visits, from)
				if id == nil {
					from = nil
					return nil
				}
				j, err := readJourney(tx, string(id))
				if err != nil {
					return err
				}
				page = append(page, j)
				from = append(bytes.Clone(id), 1) // all of its keys lie between id 00 and id 01
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, j := range page {
			if !fn(j) {
				return nil
			}
		}
	}
	return nil
}

// firstVisitor is the lower of the two next ids at or after from; nil at the end.
func firstVisitor(events, visits *bolt.Cursor, from []byte) []byte {
	var first []byte
	for _, c := range []*bolt.Cursor{events, visits} {
		k, _ := c.Seek(from)
		if k == nil {
			continue
		}
		if id, _ := afterSep(k); first == nil || bytes.Compare(id, first) < 0 {
			first = id
		}
	}
	return first
}
