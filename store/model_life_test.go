package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// life is what happens to a store as a file: it is closed, compacted, restored from a
// backup, or its process is killed.
func (m *model) life(ctx context.Context) {
	n := m.pick(4)
	switch {
	case n == 0:
		m.must(m.s.Close())
		m.open()
		return
	case m.beside != nil: // the server ends every connection
		cut(m.t)
		return
	}
	switch n {
	case 1:
		_, _, err := m.s.Compact(ctx)
		m.must(err)
	case 2:
		copied := m.elsewhere()
		f, err := os.Create(copied)
		m.must(err)
		_, err = m.s.Backup(ctx, f)
		m.must(err)
		m.must(f.Close())
		m.goOnWith(copied)
	case 3: // what the kernel has is what the next process finds
		b, err := os.ReadFile(m.path)
		m.must(err)
		copied := m.elsewhere()
		m.must(os.WriteFile(copied, b, 0o600))
		m.goOnWith(copied)
	}
}

// elsewhere is a place for another file, with the rests of a copy that was under way.
func (m *model) elsewhere() string {
	m.lives++
	path := filepath.Join(filepath.Dir(m.path), fmt.Sprintf("%d.db", m.lives))
	m.must(os.WriteFile(path+".compact", []byte("half a copy"), 0o600))
	return path
}

func (m *model) goOnWith(path string) {
	m.must(m.s.Close())
	m.must(os.Remove(m.path))
	m.path = path
	m.open()
	if _, err := os.Stat(path + ".compact"); err == nil {
		m.t.Fatal("half a copy was left behind")
	}
}

// person remembers one, or forgets it.
func (m *model) person(ctx context.Context) {
	who := fmt.Sprintf("00QHs00000AAAA%cMAA", 'A'+m.pick(3))
	if m.pick(3) == 0 {
		delete(m.persons, who)
		m.must(m.s.ForgetPersons(ctx, []string{who}))
		return
	}
	p := Person{Who: who, RecordID: fmt.Sprint("a01", m.pick(3))}
	m.persons[who] = p
	m.must(m.s.PutPersons(ctx, []Person{p}))
}

// settle resolves and sends until nothing waits: then the org says what the store wants.
func (m *model) settle(ctx context.Context) {
	m.ops = nil
	m.now = m.now.Add(24 * time.Hour)
	m.resolve(ctx)
	m.resolve(ctx)
	_, err := m.s.MakeParkedDue(ctx, m.now, nil)
	m.must(err)
	due, err := m.s.Due(m.now, 1000)
	m.must(err)
	_, err = m.s.Begin(ctx, due)
	m.must(err)
	var outcomes []Outcome
	for _, t := range due {
		m.org[t.Key] = t.Hash
		outcomes = append(outcomes, Outcome{Key: t.Key, Hash: t.Hash, State: Written, RecordID: "a0"})
	}
	m.must(m.s.Finish(ctx, m.now, outcomes))
	b, err := m.s.Backlog()
	m.must(err)
	if b != (Backlog{}) {
		m.t.Fatalf("something waits after all was sent: %+v", b)
	}
	for id := range m.calls {
		_, t, err := m.s.Call(id)
		m.must(err)
		key := CallKey(id)
		if hash, ok := m.frozen[key]; ok {
			if m.org[key] != hash || t != nil && !t.Frozen {
				m.t.Fatalf("%s was forgotten: the org had %q, has %q; %+v", key, hash, m.org[key], t)
			}
			continue
		}
		if t != nil && !t.Frozen && t.Hash != m.org[key] {
			m.t.Fatalf("%s: the org has %q, the store wants %q: %+v", key, m.org[key], t.Hash, t)
		}
	}
}

// compare holds the store to the model, and to its own rules.
func (m *model) compare() {
	m.t.Helper()
	sound(m.t, m.s)
	calls := 0
	for _, v := range modelVisitors {
		j, err := m.s.Journey(v)
		m.must(err)
		var want, got []string
		for k, e := range m.events {
			if e.Visitor == v {
				want = append(want, k)
			}
		}
		for _, e := range j.Events {
			got = append(got, string(eventKey(e)))
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			m.t.Fatalf("%s has the events %q, want %q", v, got, want)
		}
		n := 0
		for _, x := range m.visits {
			if x.Visitor == v {
				n++
			}
		}
		for _, x := range j.Visits {
			if w := m.visits[v+"\x00"+x.SessionID]; w != x {
				m.t.Fatalf("%s has the visit %+v, want %+v", v, x, w)
			}
		}
		if len(j.Visits) != n {
			m.t.Fatalf("%s has %d visits, want %d", v, len(j.Visits), n)
		}
		for _, c := range j.Calls {
			if w := m.calls[c.TaskID]; w.visitor != v || w.hash != c.Hash {
				m.t.Fatalf("%s has call %s (hash %s), want %+v", v, c.TaskID, c.Hash, w)
			}
		}
		calls += len(j.Calls)
		gone, err := m.s.IsForgotten(v)
		m.must(err)
		if gone != m.forgotten[v] {
			m.t.Fatalf("%s: forgotten %v, want %v", v, gone, m.forgotten[v])
		}
	}
	for id, c := range m.calls {
		if c.visitor == "" {
			j, err := m.s.Journey(JourneyKey("", id))
			m.must(err)
			calls += len(j.Calls)
		}
	}
	if calls != len(m.calls) {
		m.t.Fatalf("%d calls are found by their journeys, want %d", calls, len(m.calls))
	}
	m.compareMeta()
	m.compareErased()
	n := 0
	m.must(m.s.EachCall(time.Time{}, time.Time{}, func(Call, *Touchpoint) bool { n++; return true }))
	if n != len(m.calls) {
		m.t.Fatalf("%d calls on the timeline, want %d", n, len(m.calls))
	}
}

// compareErased looks through the file for the ids of those who were forgotten: its free
// pages, too, hold nothing of them.
func (m *model) compareErased() {
	m.t.Helper()
	if m.beside != nil {
		return
	}
	file, err := os.ReadFile(m.path)
	m.must(err)
	for v := range m.forgotten {
		rest := file
		if v == "visitor-a" { // another id begins with it
			rest = bytes.ReplaceAll(file, []byte("visitor-a-b"), nil)
		}
		if i := bytes.Index(rest, []byte(v)); i >= 0 && len(v) >= minFind {
			m.t.Fatalf("the file still holds the id %s: %q", v, rest[max(0, i-100):i+len(v)+20])
		}
	}
}

// compareMeta compares what belongs to no visitor.
func (m *model) compareMeta() {
	m.t.Helper()
	cursor, _, err := m.s.Cursor()
	m.must(err)
	if !cursor.Since.Equal(m.cursor.Since) || !cursor.Start.Equal(m.cursor.Start) {
		m.t.Fatalf("the cursor is %+v, want %+v", cursor, m.cursor)
	}
	persons, err := m.s.Persons([]string{"00QHs00000AAAAAMAA", "00QHs00000AAAABMAA", "00QHs00000AAAACMAA"})
	m.must(err)
	if !maps.Equal(persons, m.persons) {
		m.t.Fatalf("the persons are %v, want %v", persons, m.persons)
	}
}
