package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callpoint/mapping"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/golden-SCHEMA.db.gz anew, with the code as it is")

// goldenAt is the clock of the golden store.
var goldenAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fillGolden stores something of every kind, the same in every release.
func fillGolden(t testing.TB, s *Store) {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Pin(ctx, "00DHs0000000001MAA"))
	_, err := s.Add(ctx, []mapping.Event{
		{Kind: mapping.View, Visitor: "golden-a", At: goldenAt, URL: "https://www.example.com/?utm_source=google", Referrer: "https://www.google.com/", Sequence: 1},
		{Kind: mapping.Form, Visitor: "golden-a", At: goldenAt.Add(time.Minute), URL: "https://www.example.com/form", Geo: mapping.Geo{City: "Seattle"}},
	}, []mapping.Visit{
		{SessionID: "s1", Visitor: "golden-b", StartedAt: goldenAt, EndedAt: goldenAt.Add(time.Hour), LandingPage: "https://www.example.com/b", PageViews: 3},
	})
	must(err)
	_, err = s.ApplyTasks(ctx, []Call{
		{Call: mapping.Call{TaskID: "00THs00000AAAAAMAA", Visitor: "golden-a", At: goldenAt.Add(10 * time.Minute), Fields: map[string]any{"Type": "Call"}}, Hash: "1", ReadAt: goldenAt},
		{Call: mapping.Call{TaskID: "00THs00000AAAABMAA", At: goldenAt.Add(20 * time.Minute), Fields: map[string]any{}}, Hash: "2", ReadAt: goldenAt},
		{Call: mapping.Call{TaskID: "00THs00000AAAACMAA", Visitor: "golden-b", At: goldenAt.Add(30 * time.Minute), Fields: map[string]any{}}, Hash: "3", ReadAt: goldenAt},
	}, Cursor{Since: goldenAt, Start: goldenAt.Add(-time.Hour)})
	must(err)
	resolveGolden(t, s)
	due, err := s.Due(goldenAt, 10)
	must(err)
	if len(due) != 2 {
		t.Fatalf("golden store: %d touchpoints due, want 2", len(due))
	}
	_, err = s.Begin(ctx, due[:1])
	must(err)
	must(s.Finish(ctx, goldenAt, []Outcome{{Key: due[0].Key, Hash: due[0].Hash, RecordID: "a00000000000001AAA", State: Written}}))
	must(s.PutPersons(ctx, []Person{{Who: "00QHs00000AAAAAMAA", RecordID: "a01000000000001AAA"}}))
	must(s.SetState(ctx, "golden", map[string]int{"a": 1}))
}

// resolveGolden answers for all that is dirty, each time the same.
func resolveGolden(t testing.TB, s *Store) {
	t.Helper()
	dirty, err := s.NextDirty(t.Context(), goldenAt, 10)
	if err != nil {
		t.Fatal(err)
	}
	var all []answer
	for _, j := range dirty {
		r := answer{Resolved: Resolved{Journey: j}}
		for _, c := range j.Calls {
			r.Result.Calls = append(r.Result.Calls, mapping.Resolution{TaskID: c.TaskID, Reason: mapping.Matched, Detail: "golden"})
			if j.Visitor != "" {
				r.touchpoints = append(r.touchpoints, mapping.Touchpoint{Key: CallKey(c.TaskID), TaskID: c.TaskID, Who: "00QHs00000AAAAAMAA",
					Values: map[string]any{"Type__c": "Call", "Person__c": mapping.PersonRef("00QHs00000AAAAAMAA")}})
			}
		}
		all = append(all, r)
	}
	if _, err := settle(t.Context(), s, goldenAt, all); err != nil {
		t.Fatal(err)
	}
}

// workOnGolden changes each kind of value that resolving and sending change.
func workOnGolden(t testing.TB, s *Store) {
	t.Helper()
	if _, err := s.MarkAll(t.Context(), "golden"); err != nil {
		t.Fatal(err)
	}
	resolveGolden(t, s)
	due, err := s.Due(goldenAt, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d touchpoints due, %v; want the one that was not sent", len(due), err)
	}
	if _, err := s.Begin(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), goldenAt, []Outcome{{Key: due[0].Key, Hash: due[0].Hash, State: Parked, Next: goldenAt, Code: "LOCKED"}}); err != nil {
		t.Fatal(err)
	}
}

// goldenReading is what fillGolden leaves, as the exported methods show it.
func goldenReading(t testing.TB, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	for _, v := range []string{"golden-a", "golden-b", "\x0100THs00000AAAABMAA"} {
		j, err := s.Journey(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %d events, %d visits, generation %d\n", j.Visitor, len(j.Events), len(j.Visits), j.Generation)
		for _, e := range j.Events {
			fmt.Fprintf(&b, "  event %+v\n", e)
		}
		for _, v := range j.Visits {
			fmt.Fprintf(&b, "  visit %+v\n", v)
		}
		for _, c := range j.Calls {
			tp := j.Touchpoints[CallKey(c.TaskID)]
			fmt.Fprintf(&b, "  call %s %s %s %s %v: %s %s %s %v\n", c.TaskID, c.At, c.Hash, c.Resolution.Reason, c.Fields, tp.State, tp.RecordID, tp.PersonField, tp.Values())
		}
	}
	org, err := s.Org()
	cursor, ok, err2 := s.Cursor()
	earliest, err3 := s.Earliest()
	backlog, err4 := s.Backlog()
	persons, err5 := s.Persons([]string{"00QHs00000AAAAAMAA"})
	fmt.Fprintln(&b, org, err, cursor, ok, err2, earliest, err3, backlog, err4, persons, err5)
	return b.String()
}

// A store of every release opens with today's code, reads as it did, and can be gone on with. The flag -update
// writes the one of the present schema; those of earlier schemas stay for good:
//
//	go test ./store -run TestGolden -update
func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		s, err := Open(filepath.Join(t.TempDir(), "golden.db"), Options{Now: func() time.Time { return goldenAt }})
		if err != nil {
			t.Fatal(err)
		}
		fillGolden(t, s)
		ctx := context.Background()
		var file bytes.Buffer
		z, _ := gzip.NewWriterLevel(&file, gzip.BestCompression)
		if _, err := s.Backup(ctx, z); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(fmt.Sprintf("testdata/golden-%d.db.gz", schema), file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fresh := openTest(t)
	fillGolden(t, fresh)
	want := goldenReading(t, fresh)
	workOnGolden(t, fresh)
	worked := goldenReading(t, fresh)
	for version := 1; version <= schema; version++ {
		name := fmt.Sprintf("testdata/golden-%d.db.gz", version)
		path := filepath.Join(t.TempDir(), "callpoint.db")
		unzip(t, name, path)
		s := openAt(t, path, Options{})
		if diff := cmp.Diff(want, goldenReading(t, s)); diff != "" {
			t.Errorf("%s reads differently (-today's +golden):\n%s", name, diff)
		}
		workOnGolden(t, s)
		if diff := cmp.Diff(worked, goldenReading(t, s)); diff != "" {
			t.Errorf("%s reads differently once it was written to (-today's +golden):\n%s", name, diff)
		}
	}
}

func unzip(t testing.TB, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
