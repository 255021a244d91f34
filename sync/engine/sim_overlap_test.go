package engine_test

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/orgsim"
)

func init() { maps.Copy(simScenarios, simOverlaps) }

// simOverlaps are scenarios in which something happens while write calls are on their way:
// they take minutes, and reading goes on meanwhile.
var simOverlaps = map[string]func(*simWorld){
	// The vendor corrects a call whose touchpoint is on its way with the old content.
	"corrected-on-its-way": func(w *simWorld) {
		at := time.Now().Add(-time.Minute).Truncate(time.Second)
		ids := w.depart(func(ids []string) { w.correct(ids[0], at) })
		w.mustBeCorrected(ids[0], at)
		w.mustBeAtRest()
	},
	// ... and one that was read from the store to be sent next.
	"corrected-before-it-left": func(w *simWorld) {
		at := time.Now().Add(-time.Minute).Truncate(time.Second)
		ids := w.depart(func(ids []string) { w.correct(ids[11], at) })
		w.mustBeCorrected(ids[11], at)
		w.mustBeAtRest()
	},
	// The answer to the old content is lost, and so is nobody's correction.
	"corrected-and-answer-lost": func(w *simWorld) {
		at := time.Now().Add(-time.Minute).Truncate(time.Second)
		ids := w.depart(func(ids []string) {
			w.correct(ids[0], at)
			w.org.Fault(orgsim.Fault{Op: orgsim.OpComposite, Match: simWrites, Drop: orgsim.DropAfter})
		})
		w.later(time.Hour)
		w.mustBeCorrected(ids[0], at)
	},
	// A call is deleted while its touchpoint is on its way for the first time.
	"deleted-on-its-way": func(w *simWorld) {
		w.settings.RetractDelete = true
		ids := w.depart(func(ids []string) { w.remove(ids[0]) })
		w.mustNotStand(ids[0])
		w.mustStand(ids[1:]...)
		w.mustBeAtRest()
	},
	// ... or waits to be sent: it must never leave.
	"deleted-before-it-left": func(w *simWorld) {
		w.settings.RetractDelete = true
		ids := w.depart(func(ids []string) { w.remove(ids[11]) })
		w.mustNotStand(ids[11])
		if n := w.org.Requests().Deleted; n > 1 {
			w.t.Errorf("%d records were deleted beside the Task: it was sent to be taken back", n-1)
		}
		w.mustBeAtRest()
	},
	// The org refuses what is on its way, and then it is to be deleted anyway.
	"refused-and-deleted-on-its-way": func(w *simWorld) {
		w.settings.RetractDelete = true
		ids := w.depart(nil)
		w.org.Fault(orgsim.Fault{Times: -1, RowError: &orgsim.RowError{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Key: store.CallKey(ids[0])}})
		w.editAll(ids, map[string]any{"Type": "Other"})
		w.overlapped(ids, func(ids []string) { w.remove(ids[0]) })
		w.mustNotStand(ids[0])
		w.mustBeAtRest()
	},
	// A record is to be deleted; before that comes about it is wanted again.
	"wanted-again-before-it-was-deleted": func(w *simWorld) {
		w.settings.RetractDelete = true
		ids := w.depart(nil)
		id := w.record(ids[0])["Id"]
		for _, t := range ids[:15] { // as many as make a full window
			w.edit(t, 0, map[string]any{"bizible2__BizibleId__c": nil})
		}
		w.at = map[string]func(){"resolution-stored": func() {
			w.at = map[string]func(){"page-stored": func() { w.edit(ids[0], 0, map[string]any{"bizible2__BizibleId__c": "again"}) }}
		}}
		w.overlapped(ids, nil)
		w.mustStand(ids[0])
		w.mustNotStand(ids[1])
		if now := w.record(ids[0]); now != nil && now["Id"] != id {
			w.t.Errorf("the record %v was deleted and made anew as %v", id, now["Id"])
		}
	},
	// Records of one person are deleted, and others of it written.
	"person-of-a-deleted-record": func(w *simWorld) {
		w.settings.RetractDelete = true
		lead := w.lead(true)
		ids := w.depart(nil)
		w.editAll(ids, map[string]any{"WhoId": lead})
		w.later(time.Hour)
		w.editAll(ids, map[string]any{"Type": "Other"})
		w.remove(ids[0])
		w.far["delete"] = 3 * time.Minute
		w.overlapped(ids, nil)
		w.mustNotStand(ids[0])
		w.mustStand(ids[1])
		w.mustBeAtRest()
	},
	// The stop comes before a page is stored, and the next one is here already. Many times,
	// since a write that was told to stop may be done all the same.
	"stopped-between-pages": func(w *simWorld) {
		w.overlap = 0
		w.restart()
		w.cycle()
		for range 20 {
			time.Sleep(time.Hour)
			var ids []string
			for range 6 {
				ids = append(ids, w.call(fmt.Sprint("v", len(w.tasks)), time.Now(), 0, nil))
				time.Sleep(time.Second)
			}
			time.Sleep(time.Hour)
			w.at = map[string]func(){"page-read": func() {
				time.Sleep(time.Minute)
				w.stop()
			}}
			w.cycle()
			w.later(time.Minute)
			w.mustStand(ids...)
		}
	},
	// The stop comes with the answer: what it says is not lost.
	"answer-at-the-stop": func(w *simWorld) {
		for i := range 20 {
			w.call(fmt.Sprint("v", i), time.Now(), 0, nil)
			time.Sleep(time.Hour)
			w.at = map[string]func(){"answered": func() { w.stop() }}
			w.cycle()
			w.mustWriteNothing()
		}
	},
	// The org answers no more questions while calls are on their way: they land all the same.
	"poll-fails-meanwhile": func(w *simWorld) {
		ids := w.depart(func([]string) {
			w.org.Fault(orgsim.Fault{Op: orgsim.OpRead, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Times: -1})
		})
		w.mustStand(ids[0])
		w.org.ClearFaults()
		written := w.org.Requests().Written
		w.later(time.Hour)
		w.mustStand(ids...)
		if n := w.org.Requests().Written - written; n+5 > len(ids) {
			w.t.Errorf("%d records written by the next cycle: an answer was lost", n)
		}
	},
	// A row is refused because no more calls may be made: nothing is gained by more of them.
	"no-more-calls-says-a-row": func(w *simWorld) {
		id := w.call("v", time.Now(), 0, nil)
		w.org.Fault(orgsim.Fault{Times: -1, RowError: &orgsim.RowError{Code: "REQUEST_LIMIT_EXCEEDED"}})
		before := w.org.Requests().APICalls
		w.later(time.Hour)
		if n := w.org.Requests().APICalls - before; n > 10 {
			w.t.Errorf("%d API calls", n)
		}
		w.org.ClearFaults()
		w.later(time.Hour)
		w.mustStand(id)
	},
}

// depart has twenty calls sent one to a collection, in calls that take minutes. then acts
// when the first of them leaves; what it changes a later span of the same poll reads.
func (w *simWorld) depart(then func(ids []string)) (ids []string) {
	w.batch = 1
	w.restart()
	w.cycle()
	time.Sleep(time.Hour)
	for i := range 20 {
		ids = append(ids, w.call(fmt.Sprint("v", i), time.Now(), 0, nil))
	}
	w.far = map[string]time.Duration{"upsert": 3 * time.Minute, "query_more": time.Second}
	w.overlapped(ids, then)
	return ids
}

func (w *simWorld) overlapped(ids []string, then func(ids []string)) {
	w.t.Helper()
	time.Sleep(time.Hour)
	w.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Status: 400, Code: "OPERATION_TOO_LARGE", MinRows: 2}) // two spans
	w.wire.locks.most = 0
	if then != nil {
		w.at = map[string]func(){"intent-stored": func() { then(ids) }}
	}
	w.cycle()
	if then != nil && (w.at["intent-stored"] != nil || w.wire.locks.most < 2) {
		w.t.Errorf("%d calls at once: nothing happened meanwhile", w.wire.locks.most)
	}
}

func (w *simWorld) editAll(ids []string, fields map[string]any) {
	for _, id := range ids {
		w.edit(id, 0, fields)
	}
}

// correct gives a call another phone time, and another type.
func (w *simWorld) correct(id string, at time.Time) {
	w.edit(id, 0, map[string]any{"bizible2__Bizible_Touchpoint_Date__c": simStamp(at), "Type": "Meeting"})
}

func (w *simWorld) mustBeCorrected(id string, at time.Time) {
	w.t.Helper()
	w.mustHave(id, "Touchpoint_Type", "Meeting")
	if is, _ := w.record(id)["bizible2__Touchpoint_Date__c"].(string); is == "" || !simTime(is).Equal(at) {
		w.t.Errorf("%s: phone time %q, want %s", id, is, at)
	}
}

// mustBeAtRest: the cycle did all that was to be done.
func (w *simWorld) mustBeAtRest() {
	w.t.Helper()
	if b, err := w.store.Backlog(); err != nil || b.Due+b.Parked+b.Dirty > 0 {
		w.t.Errorf("after the cycle there waits %+v %v", b, err)
	}
}

// simWrites finds the composite calls that write.
func simWrites(r orgsim.Request) bool {
	return r.Op == orgsim.OpComposite && strings.Contains(string(r.Body), "PATCH")
}
