package store

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// maxKey is the longest key, in bytes, that every engine can keep in an index.
const maxKey = 2048

// A Row is one event or session as the store keeps it, encoded outside of any transaction.
type Row struct {
	kind byte // rowEvent or rowVisit
	key  []byte
	// value is an envelope: a row that was damaged on its way is not stored.
	value []byte
	at    time.Time
}

const (
	rowEvent = 'e'
	rowVisit = 'v'
)

// EventRow encodes an event.
func EventRow(e *mapping.Event) (Row, error) {
	return newRow(rowEvent, eventKey(*e), e, e.At)
}

// VisitRow encodes a session.
func VisitRow(v *mapping.Visit) (Row, error) {
	return newRow(rowVisit, prefixed(v.Visitor, []byte(v.SessionID)), v, v.StartedAt)
}

func newRow(kind byte, key []byte, v any, at time.Time) (Row, error) {
	if len(key) > maxKey {
		return Row{}, fmt.Errorf("key %.40q has %d bytes; at most %d are possible", key, len(key), maxKey)
	}
	value, err := seal(key, v)
	return Row{kind, key, value, at}, err
}

func (r *Row) bucket() kv.Bucket {
	if r.kind == rowEvent {
		return bEvents
	}
	return bVisits
}

// Visitor returns the id of the visitor.
func (r *Row) Visitor() []byte {
	id, _ := afterSep(r.key)
	return id
}

// Size returns the length of key and value.
func (r *Row) Size() int { return len(r.key) + len(r.value) }

// rowHead is kind 1, time in milliseconds 8, lengths of key 2 and value 4.
const rowHead = 15

// Append appends the row to b in the form that ReadRow reads.
func (r *Row) Append(b []byte) []byte {
	b = append(b, r.kind)
	b = binary.BigEndian.AppendUint64(b, uint64(r.at.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.value)))
	return append(append(b, r.key...), r.value...)
}

// ReadRow reads a row that Append wrote, or returns io.EOF at the end. The row is allocated
// from buf if it fits; rest is what is left of buf.
func ReadRow(from *bufio.Reader, buf []byte) (r Row, rest []byte, err error) {
	head, err := from.Peek(rowHead)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return r, buf, err
	}
	r.kind, r.at = head[0], time.UnixMilli(int64(binary.BigEndian.Uint64(head[1:]))).UTC()
	k, n := int(binary.BigEndian.Uint16(head[9:])), int(binary.BigEndian.Uint32(head[11:]))
	_, _ = from.Discard(rowHead) // it was peeked
	if len(buf) < k+n {
		buf = make([]byte, max(k+n, 1<<20))
	}
	r.key, r.value, rest = buf[:k:k], buf[k:k+n:k+n], buf[k+n:]
	if _, err := io.ReadFull(from, buf[:k+n]); err != nil {
		return r, rest, errors.Join(io.ErrUnexpectedEOF, err)
	}
	_, err = verify(r.key, r.value)
	return r, rest, err
}

// Decode returns the events and visits of rows.
func Decode(rows []Row) (events []mapping.Event, visits []mapping.Visit, err error) {
	for _, r := range rows {
		if r.kind == rowEvent {
			var e mapping.Event
			err = open(r.key, r.value, &e)
			events = append(events, e)
		} else {
			var v mapping.Visit
			err = open(r.key, r.value, &v)
			visits = append(visits, v)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return events, visits, nil
}

// sortRows sorts rows by key, so that neighbours are written together. Rows with one key are
// sorted by value, so that their order of arrival does not matter.
func sortRows(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		if a.kind != b.kind {
			return cmp.Compare(a.kind, b.kind)
		}
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return bytes.Compare(a.value, b.value)
	})
}
