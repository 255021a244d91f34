package store_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

func TestEachVisitorMeetsEveryoneOnce(t *testing.T) {
	t.Parallel()
	s, err := store.Open(filepath.Join(t.TempDir(), "s.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var events []mapping.Event
	var want []string
	// Ids that are prefixes of each other, and more of them than one page holds.
	for i := range 250 {
		id := string(rune('a'+i%26)) + "x"[:i%2] + string(rune('a'+i/26))
		want = append(want, id)
		events = append(events, mapping.Event{Kind: mapping.View, Visitor: id, At: at, URL: "https://a.example/"},
			mapping.Event{Kind: mapping.View, Visitor: id, At: at.Add(time.Minute), URL: "https://a.example/"})
	}
	want = append(want, "a", "zzz")
	visits := []mapping.Visit{{SessionID: "1", Visitor: "zzz", StartedAt: at, EndedAt: at}, {SessionID: "1", Visitor: "a", StartedAt: at, EndedAt: at},
		{SessionID: "2", Visitor: events[0].Visitor, StartedAt: at, EndedAt: at}}
	if _, err := s.Add(t.Context(), events, visits); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = s.EachVisitor(func(j store.Journey) bool {
		got = append(got, j.Visitor)
		if len(j.Events)+len(j.Visits) == 0 {
			t.Errorf("visitor %q comes empty", j.Visitor)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("met %d visitors %v, want %d", len(got), got, len(want))
	}
}
