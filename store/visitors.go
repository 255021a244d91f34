package store

import (
	"bytes"

	"callpoint/store/kv"
)

// visitorPage is how many journeys EachVisitor reads in one transaction.
const visitorPage = 100

// EachVisitor calls fn with the journey of every visitor with events or sessions, by id,
// until it returns false. It reads a page of journeys in a transaction.
func (s *Store) EachVisitor(fn func(Journey) bool) error {
	return eachPage(s.view, func(tx kv.Tx, from []byte) (page []Journey, next []byte, err error) {
		ids, more := visitorIDs(tx, from)
		if kv.Remote(tx) {
			var keys []string
			for _, id := range ids {
				keys = append(keys, string(id))
			}
			hintJourneys(tx, keys)
		}
		for _, id := range ids {
			j, err := readJourney(tx, string(id))
			if err != nil {
				return nil, nil, err
			}
			page = append(page, j)
		}
		if more {
			next = pastID(ids[len(ids)-1])
		}
		return page, next, nil
	}, func(page []Journey) error {
		for _, j := range page {
			if !fn(j) {
				return errStop
			}
		}
		return nil
	})
}

// visitorIDs merges the ids of events and of visits, in order, from a key on. more reports
// whether there may be others.
func visitorIDs(tx kv.Tx, from []byte) (ids [][]byte, more bool) {
	var lists [2][][]byte
	for i, b := range []kv.Bucket{bEvents, bVisits} {
		for k := range tx.Scan(kv.Range{Bucket: b, From: from, Heads: true, Limit: visitorPage, Keys: true}) {
			id, _ := afterSep(k)
			lists[i] = append(lists[i], id)
		}
		more = more || len(lists[i]) == visitorPage
	}
	a, b := lists[0], lists[1]
	for len(ids) < visitorPage && (len(a) > 0 || len(b) > 0) {
		switch c := order(a, b); {
		case c < 0:
			ids, a = append(ids, a[0]), a[1:]
		case c > 0:
			ids, b = append(ids, b[0]), b[1:]
		default:
			ids, a, b = append(ids, a[0]), a[1:], b[1:]
		}
	}
	return ids, more || len(a) > 0 || len(b) > 0
}

// order compares the first ids of two lists; an empty list comes last.
func order(a, b [][]byte) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return bytes.Compare(a[0], b[0])
}
