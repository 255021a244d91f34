package mapping

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(clock string) time.Time {
	t, err := time.Parse(time.RFC3339, "2026-11-23T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

func view(clock, url string) Event { return Event{Kind: View, Visitor: "v1", At: at(clock), URL: url} }

func call(id, clock string) Call {
	return Call{TaskID: id, Visitor: "v1", At: at(clock), Fields: map[string]any{"Id": id, "Type": "Call"}}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	now, early := at("14:00:00"), at("08:00:00")
	visit := []Event{view("12:00:00", "https://www.example.com/")}
	for _, test := range []struct {
		name     string
		journey  Journey
		want     Reason
		distance int64
		written  bool // what is asked of the touchpoint
		detail   string
	}{
		{"in the window", Journey{Events: visit, Calls: []Call{call("a", "12:29:59")}}, Matched, 0, true, "takes calls until 2026-11-23 12:30:00 UTC"},
		{"at the start", Journey{Events: visit, Calls: []Call{call("a", "12:00:00")}}, Matched, 0, true, ""},
		{"at the end", Journey{Events: visit, Calls: []Call{call("a", "12:30:00")}}, OutsideWindow, 0, true, "it came just as the window of the session of 2026-11-23 12:00:00 UTC closed (2026-11-23 12:30:00 UTC)."},
		{"after the end", Journey{Events: visit, Calls: []Call{call("a", "12:48:00")}}, OutsideWindow, 1080, true, "it came 18 min after the window of the session of 2026-11-23 12:00:00 UTC closed"},
		{"before the start", Journey{Events: visit, Calls: []Call{call("a", "11:55:00")}}, OutsideWindow, -300, true, "it came 5 min before the session of 2026-11-23 12:00:00 UTC started."},
		{"nearest after", Journey{Events: append(visit[:1:1], view("13:20:00", "https://www.example.com/")), Calls: []Call{call("a", "13:00:00")}}, OutsideWindow, -1200, true, "20 min before"},
		{"nearest before", Journey{Events: append(visit[:1:1], view("13:40:01", "https://www.example.com/")), Calls: []Call{call("a", "13:00:00")}}, OutsideWindow, 1800, true, "30 min after"},
		{"clock skew", Journey{Events: visit, Calls: []Call{call("a", "11:59:00")}}, MatchedClockSkew, 0, true, "a session starts 1 min later"},
		{"unknown", Journey{Calls: []Call{call("a", "12:00:00")}}, UnknownVisitor, 0, true, "No web event was ever collected for this BizibleId"},
		{"known by an id mapping", Journey{Events: []Event{{Kind: IDMap, Visitor: "v1", At: at("11:00:00")}}, Calls: []Call{call("a", "12:00:00")}}, UnknownVisitor, 0, true, "an id mapping is known"},
		{"all pruned", Journey{PrunedSessions: 1, PrunedBefore: at("09:00:00"), Calls: []Call{call("a", "12:00:00")}}, OutsideWindow, 0, true, "dropped by retention"},
		{"held", Journey{Events: visit, Calls: []Call{call("a", "13:50:01")}}, Held, 4801, false, "waits until 2026-11-23 14:00:01 UTC"},
		{"held no longer", Journey{Events: visit, Calls: []Call{call("a", "13:50:00")}}, OutsideWindow, 4800, true, ""},
		{"in the future", Journey{Calls: []Call{call("a", "14:30:00")}}, Held, 0, false, "waits until 2026-11-23 14:40:00 UTC"},
		{"in a window it is not held", Journey{Events: []Event{view("13:55:00", "https://www.example.com/")}, Calls: []Call{call("a", "13:56:00")}}, Matched, 0, true, ""},
		{"before collection", Journey{Events: visit, Calls: []Call{call("a", "07:59:59")}}, BeforeCollection, -14401, false, "1 s before the first web event ever collected (2026-11-23 08:00:00 UTC)"},
		{"at the first event", Journey{Events: visit, Calls: []Call{call("a", "08:00:00")}}, OutsideWindow, -14400, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j := test.journey
			j.Visitor, j.Now, j.Earliest = "v1", now, early
			r := Default().Resolve(j)
			c := r.Calls[0]
			if c.Reason != test.want || c.Distance != test.distance || !strings.Contains(c.Detail, test.detail) {
				t.Errorf("%s, %d seconds: %s\nwant %s, %d seconds: ...%s", c.Reason, c.Distance, c.Detail, test.want, test.distance, test.detail)
			}
			if (len(r.Touchpoints) == 1) != test.written {
				t.Errorf("%d touchpoints", len(r.Touchpoints))
			}
			if c.Reason == Held != !r.Wake.IsZero() {
				t.Errorf("wake at %s", r.Wake)
			}
		})
	}
	t.Run("nothing was ever collected", func(t *testing.T) {
		t.Parallel()
		c := Default().Resolve(Journey{Visitor: "v1", Now: now, Calls: []Call{call("a", "12:00:00")}}).Calls[0]
		if c.Reason != BeforeCollection || !strings.Contains(c.Detail, "before any web event was collected") {
			t.Errorf("%s: %s", c.Reason, c.Detail)
		}
	})
	t.Run("an id that cannot be one", func(t *testing.T) {
		t.Parallel()
		a := Call{TaskID: "a", At: at("12:00:00"), Fields: map[string]any{"bizible2__BizibleId__c": "\x01"}}
		c := Default().Resolve(Journey{Now: now, Calls: []Call{a}}).Calls[0]
		if c.Reason != NoBizibleID || !strings.Contains(c.Detail, "cannot be a BizibleId") {
			t.Errorf("%s: %s", c.Reason, c.Detail)
		}
	})
}

func TestWakeIsTheEarliest(t *testing.T) {
	t.Parallel()
	j := Journey{Visitor: "v1", Now: at("14:00:00"), Earliest: at("08:00:00"), Calls: []Call{call("a", "13:58:00"), call("b", "13:52:00"), call("c", "13:55:00")}}
	if r := Default().Resolve(j); !r.Wake.Equal(at("14:02:00")) {
		t.Errorf("wake at %s", r.Wake)
	}
}

// A written record is never left with the data of a basis that is gone.
func TestWrittenFollows(t *testing.T) {
	t.Parallel()
	written := call("a", "13:55:00")
	written.Written = true
	j := Journey{Visitor: "v1", Now: at("14:00:00"), Earliest: at("08:00:00"), Calls: []Call{written}}
	if r := Default().Resolve(j); r.Calls[0].Reason != Held || len(r.Touchpoints) != 1 || r.Wake.IsZero() {
		t.Errorf("held: %+v", r)
	}
	j.Calls[0].At = at("07:00:00")
	if r := Default().Resolve(j); r.Calls[0].Reason != BeforeCollection || len(r.Touchpoints) != 1 {
		t.Errorf("before collection: %+v", r)
	}
}

// A deleted Task whose record is kept still counts: the next conversion is no lead creation.
func TestDeletedCounts(t *testing.T) {
	t.Parallel()
	gone := call("a", "12:05:00")
	gone.Deleted, gone.Written = true, true
	j := Journey{
		Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"),
		Events: []Event{view("12:00:00", "https://www.example.com/"), view("15:00:00", "https://www.example.com/")},
		Calls:  []Call{gone, call("b", "15:05:00")},
	}
	position := func(s *Settings) any { return s.Resolve(j).Touchpoints[0].Values["bizible2__Touchpoint_Position__c"] }
	s := Default()
	if got := position(s); got != "PostLC" {
		t.Errorf("kept: %v", got)
	}
	s.RetractDelete = true
	if got := position(s); got != "LC" {
		t.Errorf("retracted: %v", got)
	}
	if got := s.Resolve(j).Retract; len(got) != 1 || got[0] != "callpoint_a" {
		t.Errorf("retract %v", got)
	}
	j.Calls[0].Written = false
	if got := s.Resolve(j).Retract; got != nil {
		t.Errorf("retract %v, which was never written", got)
	}
	s.RetractDelete = false
	if got := position(s); got != "LC" {
		t.Errorf("never written: %v", got)
	}
}

// One session has one conversion, the earlier of its form and its call.
func TestPositions(t *testing.T) {
	t.Parallel()
	form := func(clock string) Event {
		e := view(clock, "https://www.example.com/contact")
		e.Kind = Form
		return e
	}
	for _, test := range []struct {
		name   string
		events []Event
		calls  []Call
		want   string // of sessions, then of calls
	}{
		{"form before the call", []Event{view("12:00:00", "a"), form("12:01:00")}, []Call{call("a", "12:05:00")}, "FT, LC | FT, LC"},
		{"form after the call", []Event{view("12:00:00", "a"), form("12:09:00")}, []Call{call("a", "12:05:00")}, "FT, LC | FT, LC"},
		{"form in an earlier session", []Event{view("10:00:00", "a"), form("10:01:00"), view("12:00:00", "a")}, []Call{call("a", "12:05:00")}, "FT, LC; PostLC | PostLC"},
		{"no conversion in the first", []Event{view("10:00:00", "a"), view("11:00:00", "a"), view("12:00:00", "a")}, []Call{call("a", "12:05:00")}, "FT; ; LC | LC"},
		{"call alone before the first session", []Event{view("12:00:00", "a")}, []Call{call("a", "11:00:00"), call("b", "12:05:00")}, "PostLC | FT, LC; PostLC"},
		{"call alone between", []Event{view("10:00:00", "a"), view("12:00:00", "a")}, []Call{call("a", "11:00:00"), call("b", "12:05:00")}, "FT; PostLC | LC; PostLC"},
		{"call before the form, another between", []Event{view("12:00:00", "a"), form("12:20:00")}, []Call{call("a", "12:05:00"), call("b", "12:10:00")}, "FT, LC | FT, LC; PostLC"},
		{"second call of a session", []Event{view("12:00:00", "a")}, []Call{call("a", "12:05:00"), call("b", "12:06:00")}, "FT, LC | FT, LC; PostLC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := Default().Resolve(Journey{Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"), Events: test.events, Calls: test.calls})
			var sessions, calls []string
			for _, x := range r.Sessions {
				sessions = append(sessions, x.Position)
			}
			for _, tp := range r.Touchpoints {
				calls = append(calls, tp.Values["bizible2__Touchpoint_Position__c"].(string))
			}
			if got := strings.Join(sessions, "; ") + " | " + strings.Join(calls, "; "); got != test.want {
				t.Errorf("positions %s, want %s", got, test.want)
			}
		})
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		position Position
		text     string
		counts   [3]float64
	}{
		{Position{}, "", [3]float64{0, 0, 0}},
		{Position{First: true}, "FT", [3]float64{1, 0, 0.5}},
		{Position{Lead: true, Converted: true}, "LC", [3]float64{0, 1, 0.5}},
		{Position{true, true, true}, "FT, LC", [3]float64{1, 1, 1}},
		{Position{Converted: true}, "PostLC", [3]float64{0, 0, 0}},
		{Position{First: true, Converted: true}, "FT, PostLC", [3]float64{1, 0, 0.5}},
	} {
		p := test.position
		if got := [3]float64{p.firstTouch(), p.leadCreate(), p.uShaped()}; p.String() != test.text || got != test.counts {
			t.Errorf("%+v is %q with %v", p, p.String(), got)
		}
	}
}

// A snapshot counts only for the visitor whom it was taken for, and goes through the store as JSON.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := Default()
	j := Journey{Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"), Events: []Event{view("12:00:00", "https://www.example.com/?gclid=1")}, Calls: []Call{call("a", "12:05:00")}}
	first := s.Resolve(j)
	stored, err := json.Marshal(first.Calls[0].Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stored, &j.Calls[0].Snapshot); err != nil {
		t.Fatal(err)
	}
	s.Prune(&j, at("17:00:00"))
	if len(j.Events) != 0 || !j.PrunedBefore.Equal(at("17:00:00")) || j.PrunedSessions != 1 {
		t.Fatalf("pruned to %+v", j)
	}
	again := s.Resolve(j)
	if diff := cmp.Diff(first.Touchpoints, again.Touchpoints); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first.Calls[0].Snapshot, again.Calls[0].Snapshot); diff != "" {
		t.Error(diff)
	}
	j.Visitor, j.Calls[0].Visitor, j.PrunedSessions = "v2", "v2", 0
	if got := s.Resolve(j).Calls[0].Reason; got != UnknownVisitor {
		t.Errorf("the snapshot of another visitor gives %s", got)
	}
}

// What a written answer rests on survives the retention: the position of a call from before the
// collection, and the distance of one outside every window.
func TestRetentionKeepsAnswers(t *testing.T) {
	t.Parallel()
	s := story{t: t, settings: Default(), journey: Journey{
		Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"),
		Events: []Event{view("12:00:00", "https://www.example.com/")}, Calls: []Call{call("a", "07:00:00"), call("b", "16:00:00")},
	}}
	s.journey.Calls[0].Written = true
	before := s.settings.Resolve(s.journey)
	s.remember(before)
	s.settings.Prune(&s.journey, at("15:00:00"))
	after := s.settings.Resolve(s.journey)
	if got := after.Touchpoints[0].Values["bizible2__Touchpoint_Position__c"]; got != "FT, LC" || after.Calls[0].Reason != BeforeCollection {
		t.Errorf("the call before the collection is %v, %s", got, after.Calls[0].Reason)
	}
	if diff := cmp.Diff(before.Touchpoints, after.Touchpoints); diff != "" {
		t.Error(diff)
	}
	b, a := before.Calls[1], after.Calls[1]
	if a.Distance != b.Distance || a.Detail != b.Detail || a.Distance != 12600 {
		t.Errorf("%d, %s\nbecame %d, %s", b.Distance, b.Detail, a.Distance, a.Detail)
	}
}

// A deleted call keeps its snapshot: its record keeps its content.
func TestSnapshotOfDeleted(t *testing.T) {
	t.Parallel()
	s := story{t: t, settings: Default(), journey: Journey{
		Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"),
		Events: []Event{view("12:00:00", "https://www.example.com/")}, Calls: []Call{call("a", "12:05:00"), call("b", "16:00:00")},
	}}
	s.remember(s.settings.Resolve(s.journey))
	s.journey.Calls[0].Deleted = true
	s.remember(s.settings.Resolve(s.journey))
	s.settings.Prune(&s.journey, at("13:00:00"))
	r := s.settings.Resolve(s.journey)
	if shot := r.Calls[0].Snapshot; shot == nil || shot.Reason != Matched {
		t.Errorf("snapshot %+v", shot)
	}
	if len(r.Touchpoints) != 1 || r.Touchpoints[0].Values["bizible2__Touchpoint_Position__c"] != "PostLC" {
		t.Errorf("touchpoints %+v", r.Touchpoints)
	}
}

// Each person who called from the visitor's browser has records of the first visit and the forms.
func TestJourney(t *testing.T) {
	t.Parallel()
	form := view("15:01:00", "https://www.example.com/contact")
	form.Kind = Form
	who := func(c Call, id string) Call {
		c.Fields["WhoId"] = id
		return c
	}
	j := Journey{Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"), Events: []Event{
		view("09:00:00", "https://www.example.com/"), view("11:00:00", "https://www.example.com/"),
		view("13:00:00", "https://www.example.com/"), view("15:00:00", "https://www.example.com/"), form,
	}}
	s := Default()
	s.Journey = true
	written := func() string {
		var list []string
		for _, tp := range s.Resolve(j).Touchpoints {
			if tp.TaskID == "" {
				list = append(list, tp.Session.StartedAt.Format("15:04")+" "+tp.Who)
			}
		}
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	if got := written(); got != "" {
		t.Errorf("without a call: %s", got)
	}
	j.Calls = []Call{who(call("c", "13:10:00"), "003000000000003AAA"), who(call("b", "13:05:00"), "00Q000000000002AAA"), call("a", "13:01:00")}
	if got, want := written(), "09:00 003000000000003AAA, 09:00 00Q000000000002AAA, 15:00 003000000000003AAA, 15:00 00Q000000000002AAA"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	j.Calls = []Call{call("a", "13:01:00")}
	if got := written(); got != "" {
		t.Errorf("with a call of nobody: %s", got)
	}
	j.Calls = []Call{who(call("a", "17:55:00"), "00Q000000000002AAA")}
	if got := written(); got != "" {
		t.Errorf("with a call that is held: %s", got)
	}
	j.Calls[0].Written = true
	if got := written(); got != "09:00 00Q000000000002AAA, 15:00 00Q000000000002AAA" {
		t.Errorf("with a call that was written: %s", got)
	}
}

// Without carry-over a channel that was inherited once is so no longer, not even in a snapshot.
func TestCarryoverOff(t *testing.T) {
	t.Parallel()
	x := Session{LandingPage: "https://www.example.com/", Carried: &Landing{Page: "https://www.example.com/?gclid=1"}}
	s := Default()
	if got := s.ChannelOf(x).Path; got != "Direct" {
		t.Errorf("off: %s", got)
	}
	s.ChannelCarryover = time.Hour
	if got := s.ChannelOf(x).Path; got != "Paid Search.AdWords" {
		t.Errorf("on: %s", got)
	}
}

// The line is never drawn through a session.
func TestPruneWholeSessions(t *testing.T) {
	t.Parallel()
	j := Journey{Visitor: "v1", Events: []Event{
		view("10:00:00", "https://www.example.com/"), view("12:00:00", "https://www.example.com/"), view("12:20:00", "https://www.example.com/a"),
	}}
	Default().Prune(&j, at("12:10:00"))
	if len(j.Events) != 2 || !j.PrunedBefore.Equal(at("12:00:00")) || j.PrunedSessions != 1 || len(j.PrunedSteps) != 1 || !j.PrunedSteps[0].Form.IsZero() {
		t.Errorf("pruned to %+v", j)
	}
	absorbing := Journey{Visitor: "v1", Visits: []Visit{
		{SessionID: "long", StartedAt: at("12:00:00"), EndedAt: at("12:30:00")}, {SessionID: "short", StartedAt: at("12:05:00"), EndedAt: at("12:10:00")},
	}}
	if Default().Prune(&absorbing, at("12:20:00")); len(absorbing.Visits) != 2 {
		t.Errorf("a visit that still absorbs is pruned: %+v", absorbing)
	}
	Default().Prune(&j, at("11:00:00"))
	if !j.PrunedBefore.Equal(at("12:00:00")) || j.PrunedSessions != 1 {
		t.Errorf("the line moved back: %+v", j)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(`[{"type":"view","bizible_id":"v1","at":"2026-11-23T12:00:00Z","url":"https://www.example.com/?gclid=1","referrer":"null","user_agent":"x"},{"type":"form","at":"2026-11-23T12:01:00Z","url":"%"}]`),
		[]byte(`[{"session_id":"s","started_at":"2026-11-23T12:00:00Z","ended_at":"0001-01-01T00:00:00Z","landing_page":"x"}]`), int64(60))
	f.Fuzz(func(t *testing.T, events, visits []byte, after int64) {
		s := Default()
		s.Journey = true
		j := Journey{Visitor: "v1", Now: at("18:00:00"), Earliest: at("08:00:00"), Calls: []Call{call("a", "12:00:00"), call("b", "12:01:00")}}
		if json.Unmarshal(events, &j.Events) != nil || json.Unmarshal(visits, &j.Visits) != nil || len(j.Events)+len(j.Visits) > 100 {
			return
		}
		j.Calls[0].At = j.Calls[0].At.Add(time.Duration(after%86400) * time.Second)
		for i := range j.Events {
			e := &j.Events[i]
			e.UserAgent, e.Referrer = fold(e.UserAgent, 2000), fold(e.Referrer, 40000)
		}
		r := s.Resolve(j)
		checkSessions(t, r.Sessions, 0)
		checkResult(t, s, j, r, 0)
	})
}
