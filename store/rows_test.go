package store

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"callpoint/mapping"
)

// Rows come out of a spool as they went in, and a torn or damaged one is noticed.
func TestRowsGoThroughASpool(t *testing.T) {
	t.Parallel()
	events, visits := []mapping.Event{event("a", 1), event("b", 2)}, []mapping.Visit{benchVisit(3), benchVisit(4)}
	events[1].URL += strings.Repeat("x", 100<<10) // more than a buffer holds
	var spool []byte
	for i := range events {
		e, err := EventRow(&events[i])
		if err != nil {
			t.Fatal(err)
		}
		v, err := VisitRow(&visits[i])
		if err != nil {
			t.Fatal(err)
		}
		spool = v.Append(e.Append(spool))
	}
	rows, err := readRows(spool)
	if err != nil || len(rows) != 4 || string(rows[0].Visitor()) != "a" {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	gotEvents, gotVisits, err := Decode(rows)
	if err != nil || !reflect.DeepEqual(gotEvents, events) || !reflect.DeepEqual(gotVisits, visits) {
		t.Errorf("%v %v %v", gotEvents, gotVisits, err)
	}
	s := openTest(t)
	for _, repeated := range []int{0, 4} {
		if n, err := s.AddRows(t.Context(), rows); n != repeated || err != nil {
			t.Errorf("%d repeated, %v; want %d", n, err, repeated)
		}
	}
	for _, cut := range []int{1, rowHead, rowHead + 1, len(spool) - 1} {
		if _, err := readRows(spool[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes: %v", cut, err)
		}
	}
	spool[len(spool)-1] ^= 1
	if _, err := readRows(spool); !errors.Is(err, ErrDamaged) {
		t.Errorf("a flipped bit: %v", err)
	}
}

func readRows(spool []byte) (rows []Row, err error) {
	r, room := bufio.NewReader(bytes.NewReader(spool)), []byte(nil)
	for {
		row, rest, err := ReadRow(r, room)
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows, room = append(rows, row), rest
	}
}

// Of two rows with one key the same one stands, whichever came first.
func TestOrderOfRowsDoesNotMatter(t *testing.T) {
	t.Parallel()
	a, b := benchVisit(1), benchVisit(1)
	b.LandingPage += "&other=1"
	var stood []mapping.Visit
	for _, order := range [][]mapping.Visit{{a, b}, {b, a}} {
		s := openTest(t)
		if _, err := s.Add(t.Context(), nil, order); err != nil {
			t.Fatal(err)
		}
		j, err := s.Journey(a.Visitor)
		if err != nil || len(j.Visits) != 1 {
			t.Fatal(j.Visits, err)
		}
		stood = append(stood, j.Visits[0])
	}
	if stood[0] != stood[1] {
		t.Errorf("%+v\n%+v", stood[0], stood[1])
	}
}
