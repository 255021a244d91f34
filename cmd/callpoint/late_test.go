package main

import (
	"testing"
	"time"

	"callpoint/mapping"
)

// Whatever comes late leads to what would stand if it had been there from the start.

// An id that is corrected to another visitor concerns both: the first one's next call
// gets the session that becomes free.
func TestCorrectedIDConcernsBothVisitors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/a", "https://www.google.com/"),
		view(visitorB, yesterday("12:00:00"), "https://www.example.com/b", "https://www.bing.com/"))
	wrong := b.task(yesterday("12:05:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	second := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	b.expect(wrong, map[string]any{"Landing_Page": "www.example.com/a"})
	if got := d.call(second).Reason; got != mapping.SessionAlreadyUsed {
		t.Fatalf("second call: %s, want session_already_credited", got)
	}
	b.update(wrong, map[string]any{"bizible2__BizibleId__c": visitorB})
	d.sync()
	b.expect(wrong, map[string]any{"Landing_Page": "www.example.com/b", "Touchpoint_Source": "Organic - Bing"})
	b.expect(second, map[string]any{"Landing_Page": "www.example.com/a", "Touchpoint_Source": "Organic - Google"})
	d.stop()
}

// A call that was the first in its session loses it to an earlier one that arrives later.
func TestEarlierCallTakesTheSession(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
	later := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	b.expect(later, map[string]any{"Touchpoint_Source": "Organic - Google", "Touchpoint_Position": "FT, LC"})
	earlier := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	b.expect(earlier, map[string]any{"Touchpoint_Source": "Organic - Google", "Touchpoint_Position": "FT, LC"})
	b.expect(later, map[string]any{"Touchpoint_Source": "CRM Activity", "Touchpoint_Position": "PostLC", "Landing_Page": nil})
	if v := d.call(later); v.Reason != mapping.SessionAlreadyUsed {
		t.Errorf("the later call: %s", v.Reason)
	}
	d.stop()
}

// A fresh call without a session waits; when the hold ends, the daemon writes it by itself.
func TestHeldCallIsWrittenWhenTheHoldEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_UNMATCHED_HOLD=6s", "CALLPOINT_POLL_INTERVAL=1s")
	d := b.daemon()
	d.send(view("another", yesterday("08:00:00"), "https://www.example.com/", ""))
	id := b.task(time.Now(), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	if got := d.call(id).Reason; got != mapping.Held {
		t.Fatalf("reason %s, want held", got)
	}
	if n := len(b.org.Records(touchpoints)); n != 0 {
		t.Fatalf("%d touchpoints while held", n)
	}
	waitFor(t, "the Task touchpoint", func() bool { return len(b.org.Records(touchpoints)) == 1 })
	if got := d.call(id).Reason; got != mapping.UnknownVisitor {
		t.Errorf("reason %s, want unknown_visitor", got)
	}
	d.stop()
}

// When the basis goes: by default what was written stays, or becomes a Task touchpoint;
// with delete it goes, and nothing else does.
func TestWhenTheBasisGoes(t *testing.T) {
	t.Parallel()
	for _, retract := range []string{"keep", "delete"} {
		t.Run(retract, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CALLPOINT_RETRACT="+retract)
			foreign := b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "TP2_marketo_measure",
				"bizible2__Bizible_Person__c": b.insert(persons, map[string]any{"bizible2__UniqueId__c": "Person_1"})})
			d := b.daemon()
			d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"),
				view(visitorB, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
			deleted := b.task(yesterday("12:05:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
			next := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
			cleared := b.task(yesterday("12:05:00"), map[string]any{"bizible2__BizibleId__c": visitorB})
			d.sync()
			if err := b.org.Delete("Task", deleted); err != nil {
				t.Fatal(err)
			}
			b.update(cleared, map[string]any{"bizible2__BizibleId__c": nil})
			d.sync()
			if got := d.call(deleted).Reason; got != mapping.TaskDeleted {
				t.Errorf("deleted Task: %s", got)
			}
			// A deleted Task frees its session for the next call.
			b.expect(next, map[string]any{"Touchpoint_Source": "Organic - Google"})
			if retract == "keep" {
				b.expect(deleted, map[string]any{"Touchpoint_Source": "Organic - Google"})
				b.expect(cleared, map[string]any{"Touchpoint_Source": "CRM Activity"})
			} else if n := len(b.org.Records(touchpoints)); n != 2 {
				t.Errorf("%d touchpoints stand, want the next call's and the foreign one", n)
			}
			if _, ok := b.org.Get(touchpoints, foreign); !ok {
				t.Error("a record of Marketo Measure's own is gone")
			}
			d.stop()
		})
	}
}

// Calls before the first event get no touchpoint, unless it is asked for; an event that
// turns out to be earlier changes that.
func TestBeforeCollection(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view("another", yesterday("12:00:00"), "https://www.example.com/", ""))
	id := b.task(yesterday("10:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	if got := d.call(id).Reason; got != mapping.BeforeCollection || len(b.org.Records(touchpoints)) != 0 {
		t.Fatalf("%s, %d touchpoints: want before_collection and none", got, len(b.org.Records(touchpoints)))
	}
	d.send(view("another", yesterday("09:00:00"), "https://www.example.com/", ""))
	d.sync()
	if got := d.call(id).Reason; got != mapping.UnknownVisitor {
		t.Errorf("after an earlier event: %s, want unknown_visitor", got)
	}
	b.expect(id, map[string]any{"Touchpoint_Source": "CRM Activity"})
	d.stop()

	w := newBench(t, "CALLPOINT_BEFORE_COLLECTION=write")
	id = w.task(yesterday("10:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	w.syncOnce()
	w.expect(id, map[string]any{"Touchpoint_Source": "CRM Activity", "Touchpoint_Position": "FT, LC"})
}
