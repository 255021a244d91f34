package store

import (
	"context"
	"testing"
	"time"

	"callpoint/mapping"
)

// A desk is one call and its touchpoint, step by step.
type desk struct {
	t   *testing.T
	s   *Store
	now time.Time
}

const deskTask = "00THs00000AAAAAMAA"

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, s: openTest(t), now: goldenAt}
	d.event(1)
	d.must2(d.s.ApplyTasks(context.Background(), []Call{{Call: mapping.Call{TaskID: deskTask, Visitor: "a", At: goldenAt}, Hash: "1"}}, Cursor{}))
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) must2(_ int, err error) {
	d.t.Helper()
	d.must(err)
}

// event makes the journey dirty.
func (d *desk) event(n int) {
	d.t.Helper()
	d.must2(d.s.Add(context.Background(), []mapping.Event{event("a", n)}, nil))
}

// want resolves the journey so that the touchpoint should have this content; empty is none.
func (d *desk) want(content string, retract ...string) (unchanged int) {
	d.t.Helper()
	dirty, err := d.s.NextDirty(context.Background(), d.now, 10)
	d.must(err)
	if len(dirty) != 1 {
		d.t.Fatalf("%d journeys are dirty, want 1", len(dirty))
	}
	r := answer{Resolved: Resolved{Journey: dirty[0], Result: mapping.Result{Calls: []mapping.Resolution{{TaskID: deskTask, Reason: mapping.Matched}}, Retract: retract}}}
	if content != "" {
		r.touchpoints = []mapping.Touchpoint{{Key: CallKey(deskTask), TaskID: deskTask, Values: map[string]any{"x": content}}}
	}
	unchanged, err = settle(context.Background(), d.s, d.now, []answer{r})
	d.must(err)
	return unchanged
}

// begin takes what is due on its way.
func (d *desk) begin() (due []Touchpoint) {
	d.t.Helper()
	due, err := d.s.Due(d.now, 10)
	d.must(err)
	_, err = d.s.Begin(context.Background(), due)
	d.must(err)
	return due
}

func (d *desk) finish(o Outcome) {
	d.t.Helper()
	d.must(d.s.Finish(context.Background(), d.now, []Outcome{o}))
}

// send sends what is due, which must be one, and has it written.
func (d *desk) send() {
	d.t.Helper()
	due := d.begin()
	if len(due) != 1 {
		d.t.Fatalf("%d touchpoints are due, want 1", len(due))
	}
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Written, RecordID: "a00"})
}

// stands expects the touchpoint in a state, due or not.
func (d *desk) stands(state State, content string, isDue bool) *Touchpoint {
	d.t.Helper()
	_, tp, err := d.s.Call(deskTask)
	d.must(err)
	due, err := d.s.Due(d.now, 10)
	d.must(err)
	if tp == nil {
		d.t.Fatal("there is no touchpoint")
	}
	if tp.State != state || tp.Values()["x"] != content || (len(due) == 1) != isDue {
		d.t.Errorf("%s, content %v, %d due; want %s, content %s, due %v", tp.State, tp.Values()["x"], len(due), state, content, isDue)
	}
	return tp
}

func TestEqualContentIsNotSentAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	d.stands(Pending, "A", true)
	d.send()
	d.stands(Written, "A", false)
	d.event(2)
	if n := d.want("A"); n != 1 {
		t.Errorf("%d unchanged, want 1", n)
	}
	d.stands(Unchanged, "A", false)
}

func TestContentThatChangesOnItsWayIsSentAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	due := d.begin()
	d.event(2)
	d.want("B")
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Written, RecordID: "a00"})
	tp := d.stands(Pending, "B", true)
	if tp.WrittenHash != due[0].Hash || tp.RecordID != "a00" {
		t.Errorf("what was written is not known: %+v", tp)
	}
	d.send()
	d.stands(Written, "B", false)
}

// What changed, or went, since it was read as due must not be sent as it was: of a record
// that went nobody would know.
func TestBeginLeavesWhatChanged(t *testing.T) {
	t.Parallel()
	for content, what := range map[string]string{"B": "changed", "": "gone", "A": ""} {
		d := newDesk(t)
		d.want("A")
		due, err := d.s.Due(d.now, 10)
		d.must(err)
		d.event(2)
		d.want(content)
		changed, err := d.s.Begin(context.Background(), due)
		d.must(err)
		if (len(changed) == 1) != (what != "") {
			t.Errorf("content %q: %d changed", content, len(changed))
		}
		_, tp, err := d.s.Call(deskTask)
		d.must(err)
		if tp != nil && tp.Sent != (what == "") {
			t.Errorf("content %q: sent is %v", content, tp.Sent)
		}
	}
}

func TestDueKeysPassesOverWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	for _, skip := range []bool{false, true} {
		keys, err := d.s.DueKeys(d.now, 10, func(string) bool { return skip })
		d.must(err)
		if (len(keys) == 0) != skip {
			t.Errorf("skip %v: %v", skip, keys)
		}
	}
	if keys, err := d.s.DueKeys(d.now.Add(-time.Second), 10, func(string) bool { return false }); err != nil || len(keys) > 0 {
		t.Errorf("before its time: %v %v", keys, err)
	}
}

func TestContentThatGoesBackIsNotSent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	d.send()
	d.event(2)
	d.want("B")
	d.stands(Pending, "B", true)
	d.event(3)
	if n := d.want("A"); n != 1 {
		t.Errorf("%d unchanged, want 1", n)
	}
	d.stands(Unchanged, "A", false)
}

// After Begin nobody knows what stands, so going back must be sent.
func TestContentThatGoesBackOnItsWayIsSent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	d.send()
	d.event(2)
	d.want("B")
	d.begin() // and the answer is lost
	d.event(3)
	d.want("A")
	d.stands(Pending, "A", true)
}

func TestRetryAndParkAreForTheContentThatWasSent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	due := d.begin()
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Retrying, Next: d.now.Add(time.Minute), Code: "UNABLE_TO_LOCK_ROW"})
	if tp := d.stands(Retrying, "A", false); tp.Attempts != 1 || tp.Code != "UNABLE_TO_LOCK_ROW" {
		t.Errorf("%+v", tp)
	}
	d.now = d.now.Add(time.Minute)
	due = d.begin()
	d.event(2)
	d.want("B")
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Parked, Next: d.now.Add(time.Hour), Code: "BAD"})
	if tp := d.stands(Pending, "B", true); tp.Attempts != 0 {
		t.Errorf("new content has attempts: %+v", tp)
	}
}

func TestParkedAndReleased(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	due := d.begin()
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Parked, Next: d.now.Add(time.Hour), Code: "BAD", Message: "it is bad"})
	d.stands(Parked, "A", false)
	all, err := d.s.ParkedTouchpoints()
	if err != nil || len(all) != 1 || all[0].Code != "BAD" {
		t.Errorf("parked: %+v, %v", all, err)
	}
	for _, c := range []struct {
		at   time.Time
		keys map[string]bool
		want int
	}{
		{d.now, nil, 0},
		{d.now, map[string]bool{"callpoint_other": true}, 0},
		{d.now, map[string]bool{CallKey(deskTask): true}, 1},
	} {
		if n, err := d.s.MakeParkedDue(context.Background(), c.at, c.keys); n != c.want || err != nil {
			t.Errorf("released %d of %v, %v; want %d", n, c.keys, err, c.want)
		}
	}
	d.stands(Retrying, "A", true)
	due = d.begin()
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Parked, Next: d.now.Add(time.Hour)})
	d.now = d.now.Add(time.Hour)
	if n, err := d.s.MakeParkedDue(context.Background(), d.now, nil); n != 1 || err != nil {
		t.Errorf("released %d when it was time, %v", n, err)
	}
	// A change makes a parked one due at once.
	due = d.begin()
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Parked, Next: d.now.Add(time.Hour)})
	d.event(2)
	d.want("B")
	d.stands(Pending, "B", true)
	d.send()
	d.stands(Written, "B", false)
}

func TestRetract(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("A")
	d.send()
	d.event(2)
	d.want("", CallKey(deskTask))
	if tp := d.stands(Pending, "A", true); !tp.Delete {
		t.Errorf("it is not to be deleted: %+v", tp)
	}
	// Its basis comes back while the deletion is on its way: it is written anew.
	due := d.begin()
	d.event(3)
	d.want("A")
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, Gone: true})
	if tp := d.stands(Pending, "A", true); tp.Delete {
		t.Errorf("it is still to be deleted: %+v", tp)
	}
	d.send()
	d.event(4)
	d.want("", CallKey(deskTask))
	due = d.begin()
	d.finish(Outcome{Key: due[0].Key, Hash: due[0].Hash, Gone: true})
	if _, tp, err := d.s.Call(deskTask); tp != nil || err != nil {
		t.Errorf("deleted, yet known: %+v %v", tp, err)
	}
	// What was never sent goes without a trace.
	d.event(5)
	d.want("C")
	d.event(6)
	d.want("")
	if _, tp, err := d.s.Call(deskTask); tp != nil || err != nil {
		t.Errorf("never sent, no longer wanted, yet known: %+v %v", tp, err)
	}
}

// A journey that moved since it was read is left for the next round.
func TestCommitSkipsAJourneyThatMoved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := context.Background()
	dirty, err := d.s.NextDirty(ctx, d.now, 10)
	d.must(err)
	d.event(2)
	_, err = settle(ctx, d.s, d.now, []answer{{Resolved{Journey: dirty[0], Result: mapping.Result{
		Calls: []mapping.Resolution{{TaskID: deskTask, Reason: mapping.Matched}}}},
		[]mapping.Touchpoint{{Key: CallKey(deskTask), TaskID: deskTask, Values: map[string]any{"x": "old"}}}}})
	d.must(err)
	if c, tp, err := d.s.Call(deskTask); tp != nil || c.Resolution.Reason != "" || err != nil {
		t.Errorf("an answer for what was read before the change: %+v %+v %v", c.Resolution, tp, err)
	}
	d.want("new")
	d.stands(Pending, "new", true)
}

// A held call wakes its journey when the hold ends, not before.
func TestWake(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := context.Background()
	dirty, err := d.s.NextDirty(ctx, d.now, 10)
	d.must(err)
	wake := d.now.Add(10 * time.Minute)
	d.must(d.s.Commit(ctx, d.now, []Resolved{{Journey: dirty[0], Result: mapping.Result{Wake: wake, Calls: []mapping.Resolution{{TaskID: deskTask, Reason: mapping.Held}}}}}))
	if dirty, err := d.s.NextDirty(ctx, wake.Add(-time.Millisecond), 10); len(dirty) != 0 || err != nil {
		t.Errorf("before the hold ends: %d dirty, %v", len(dirty), err)
	}
	if dirty, err := d.s.NextDirty(ctx, wake, 10); len(dirty) != 1 || err != nil {
		t.Errorf("when the hold ends: %d dirty, %v", len(dirty), err)
	}
}

// An event from before everything makes calls that lay before collection count.
func TestEarlierEventRechecksBeforeCollection(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	ctx := context.Background()
	add := func(at time.Time) {
		t.Helper()
		if _, err := s.Add(ctx, []mapping.Event{{Kind: mapping.View, Visitor: "other", At: at, URL: "https://www.example.com/"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	add(goldenAt)
	var page []Call
	for i, at := range []time.Time{goldenAt.Add(-3 * time.Hour), goldenAt.Add(-time.Hour), goldenAt.Add(time.Hour)} {
		page = append(page, Call{Call: mapping.Call{TaskID: string(rune('1' + i)), Visitor: string(rune('a' + i)), At: at}, Hash: "1"})
	}
	if _, err := s.ApplyTasks(ctx, page, Cursor{}); err != nil {
		t.Fatal(err)
	}
	dirty, err := s.NextDirty(ctx, goldenAt, 10)
	if err != nil || len(dirty) != 3 {
		t.Fatalf("%d dirty, %v", len(dirty), err)
	}
	var all []Resolved
	for _, j := range dirty {
		reason := mapping.BeforeCollection
		if j.Calls[0].At.After(goldenAt) {
			reason = mapping.UnknownVisitor
		}
		all = append(all, Resolved{Journey: j, Result: mapping.Result{Calls: []mapping.Resolution{{TaskID: j.Calls[0].TaskID, Reason: reason}}}})
	}
	if err := s.Commit(ctx, goldenAt, all); err != nil {
		t.Fatal(err)
	}
	add(goldenAt.Add(-time.Hour - time.Minute))
	add(goldenAt.Add(-2 * time.Hour))
	if earliest, err := s.Earliest(); !earliest.Equal(goldenAt.Add(-2*time.Hour)) || err != nil {
		t.Errorf("earliest %s, %v", earliest, err)
	}
	if err := s.MarkBeforeCollection(ctx); err != nil {
		t.Fatal(err)
	}
	dirty, err = s.NextDirty(ctx, goldenAt, 10)
	if err != nil || len(dirty) != 1 || dirty[0].Key != "b" {
		t.Errorf("%d dirty, %v: want the one call that lies after the earliest event now", len(dirty), err)
	}
}
