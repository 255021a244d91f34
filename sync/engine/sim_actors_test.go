package engine_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"callpoint/mapping"
	"callpoint/sync/orgsim"
)

// simParcel is what a browser or a server sent, on its way to the collector.
type simParcel struct {
	events []mapping.Event
	visits []mapping.Visit
}

// populate fills the world: visitors who browse and phone, a vendor who writes Tasks,
// users who edit them, and the weather between us and the org.
func (w *simWorld) populate(seed uint64) {
	var network simQueue[simParcel]
	var vendor simQueue[func()]
	for i := range 6 {
		w.visitors = append(w.visitors, fmt.Sprintf("visitor-%d", i))
		w.lead(i%3 == 0)
		w.lead(false)
	}
	w.persons = append(w.persons, "", "", "")
	for _, visitor := range w.visitors {
		w.join(seed, time.Duration(w.rng.IntN(120))*time.Minute, w.browser(visitor, &network, &vendor))
	}
	w.join(seed, 0, func(a *simActor) time.Duration {
		for _, p := range network.take() {
			w.collect(p.events, p.visits)
		}
		return min(network.next(30*time.Second), 30*time.Second)
	})
	w.join(seed, 0, func(a *simActor) time.Duration {
		for _, write := range vendor.take() {
			write()
		}
		return min(vendor.next(30*time.Second), 30*time.Second)
	})
	for range 3 {
		w.deals = append(w.deals, w.deal())
	}
	w.join(seed, time.Hour, w.editor)
	w.join(seed, 2*time.Hour, w.keeper)
	w.join(seed, time.Hour, w.weather)
	w.join(seed, 3*time.Hour, func(a *simActor) time.Duration { // thirty Tasks in one second
		for range 30 {
			w.call(simPick(a.rng, w.visitors...), time.Now().Add(-a.within(time.Hour)), 0, nil)
		}
		return 12*time.Hour + a.within(12*time.Hour)
	})
}

// browser is a visitor: a few views and a form, then perhaps a phone call.
func (w *simWorld) browser(visitor string, network *simQueue[simParcel], vendor *simQueue[func()]) func(*simActor) time.Duration {
	views, visit := 0, mapping.Visit{}
	send := func(a *simActor, p simParcel) {
		delay := a.within(2 * time.Second)
		if a.chance(6) {
			delay = a.within(5 * time.Hour)
		}
		network.put(time.Now().Add(delay), p)
		if a.chance(4) {
			network.put(time.Now().Add(delay+a.within(time.Hour)), p)
		}
	}
	return func(a *simActor) time.Duration {
		page := fmt.Sprintf("https://www.shop.example/p%d", a.rng.IntN(4))
		if a.chance(3) {
			page += fmt.Sprintf("?utm_source=s&utm_medium=m%d&utm_campaign=c%d", a.rng.IntN(2), a.rng.IntN(3))
		}
		e := simView(visitor, page, simPick(a.rng, "", "", simOwn, simOwn, simGoogle, simLinkedIn, simSignIn, simPartner))
		e.Sequence = int64(views)
		switch views++; {
		case a.chance(10):
			e.Kind, e.Referrer = mapping.Form, ""
		case a.chance(25):
			e.Kind = mapping.IDMap
		}
		p := simParcel{events: []mapping.Event{e}}
		// Some visits come finished, from a server, and grow.
		if a.chance(8) {
			visit = mapping.Visit{SessionID: fmt.Sprint(visitor, "/", views), Visitor: visitor, StartedAt: e.At, LandingPage: page, Referrer: e.Referrer}
		}
		if visit.SessionID != "" && e.At.Sub(visit.StartedAt) < 20*time.Minute {
			visit.EndedAt, visit.PageViews = e.At, visit.PageViews+1
			if p.visits = []mapping.Visit{visit}; a.chance(2) {
				p.events = nil
			}
		}
		send(a, p)
		if a.chance(5) {
			w.phone(a, visitor, vendor)
		}
		if a.chance(4) {
			return time.Hour + a.within(8*time.Hour)
		}
		return time.Second + a.within(12*time.Minute)
	}
}

// phone makes a call some time after a view; the vendor writes the Task when it ends.
func (w *simWorld) phone(a *simActor, visitor string, vendor *simQueue[func()]) {
	at := time.Now().Add(a.within(45 * time.Minute))
	length, id, who := a.within(20*time.Minute), visitor, simPick(a.rng, w.persons...)
	late := time.Duration(0)
	if a.chance(4) {
		late = a.within(9 * time.Minute)
	}
	switch {
	case a.chance(10):
		id = ""
	case a.chance(10):
		id = simPick(a.rng, w.visitors...)
	case a.chance(10):
		id = " VISITOR-0" // as a vendor may write it
	}
	fields := map[string]any{"Type": simPick[any](a.rng, "Call", nil, "Meeting")}
	if who != "" {
		fields["WhoId"] = who
	}
	if a.chance(4) {
		fields["WhatId"] = simPick(a.rng, w.deals...)
	}
	dated := a.chance(2)
	vendor.put(at.Add(length), func() {
		when := at
		if !dated {
			when, fields["CallDurationInSeconds"] = time.Time{}, int(length/time.Second)
		}
		w.call(id, when, late, fields)
	})
}

// editor is everybody who changes Tasks later.
func (w *simWorld) editor(a *simActor) time.Duration {
	pause := a.within(40 * time.Minute)
	if len(w.tasks) == 0 {
		return pause
	}
	id, late := simPick(a.rng, w.tasks...), time.Duration(0)
	if a.chance(3) {
		late = a.within(9 * time.Minute)
	}
	switch a.rng.IntN(10) {
	case 0, 1:
		w.edit(id, late, map[string]any{"Type": simPick[any](a.rng, "Call", nil, "Other")})
	case 2, 3:
		w.edit(id, late, map[string]any{"bizible2__BizibleId__c": simPick(a.rng, w.visitors...)})
	case 4:
		w.edit(id, late, map[string]any{"bizible2__BizibleId__c": nil})
	case 5:
		if who := simPick(a.rng, w.persons...); who != "" {
			w.edit(id, late, map[string]any{"WhoId": who})
		} else {
			w.edit(id, late, map[string]any{"WhoId": nil})
		}
	case 6:
		w.edit(id, late, map[string]any{"bizible2__Bizible_Touchpoint_Date__c": simStamp(time.Now().Add(-a.within(6 * time.Hour)))})
	case 7: // twice within one second: one stamp for two contents
		w.edit(id, 0, map[string]any{"Type": "Other"})
		w.edit(id, 0, map[string]any{"Type": "Call"})
	case 8:
		w.remove(id)
	case 9:
		if i := a.rng.IntN(len(w.persons)); w.persons[i] != "" && w.persons[i][:3] == "00Q" {
			w.persons[i] = w.convert(w.persons[i], a.chance(2))
		}
	}
	return pause
}

// weather is what goes wrong between us and the org.
func (w *simWorld) weather(a *simActor) time.Duration {
	f := simPick(a.rng,
		orgsim.Fault{Op: orgsim.OpQuery, Status: 503, Body: "<html>maintenance</html>"},
		orgsim.Fault{Status: 500, Code: "UNKNOWN_EXCEPTION"},
		orgsim.Fault{Op: orgsim.OpWrite, Status: 500, Code: "UNKNOWN_EXCEPTION", Applied: true},
		orgsim.Fault{Op: orgsim.OpWrite, Drop: orgsim.DropBefore},
		orgsim.Fault{Op: orgsim.OpWrite, Drop: orgsim.DropAfter},
		orgsim.Fault{Op: orgsim.OpWrite, Truncate: true},
		orgsim.Fault{Op: orgsim.OpUpsert, Drop: orgsim.DropBefore},
		orgsim.Fault{Op: orgsim.OpComposite, Match: simWrites, Drop: orgsim.DropBefore},
		orgsim.Fault{Op: orgsim.OpComposite, Match: simWrites, Drop: orgsim.DropAfter},
		orgsim.Fault{Op: orgsim.OpUpsert, Drop: orgsim.DropAfter},
		orgsim.Fault{Op: orgsim.OpQuery, Truncate: true},
		orgsim.Fault{Op: orgsim.OpMore, Drop: orgsim.DropBefore},
		orgsim.Fault{Op: orgsim.OpMore, Status: 404, Code: "INVALID_QUERY_LOCATOR"},
		orgsim.Fault{Op: orgsim.OpQuery, Status: 400, Code: "OPERATION_TOO_LARGE", MinRows: 5},
		orgsim.Fault{Status: 403, Code: "REQUEST_LIMIT_EXCEEDED"},
		orgsim.Fault{Expire: true},
		orgsim.Fault{Op: orgsim.OpQuery, Delay: 40 * time.Second},
		orgsim.Fault{Op: orgsim.OpQuery, DelayAfter: 90 * time.Second},
		orgsim.Fault{RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW", Every: 2}},
		orgsim.Fault{Object: orgsim.Touchpoint, RowError: &orgsim.RowError{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "no", Every: 3}},
		orgsim.Fault{Op: orgsim.OpDelete, Status: 500, Code: "UNKNOWN_EXCEPTION", Applied: true},
	)
	f.Times = 1 + a.rng.IntN(3)
	remove := w.org.Fault(f)
	w.note(fmt.Sprintf("fault %+v", f.Op+f.Code+f.Drop))
	if a.chance(12) { // an outage that lasts hours
		remove()
		f.Times = -1
		remove = w.org.Fault(f)
		return w.until(a, 20*time.Minute+a.within(3*time.Hour), remove)
	}
	return a.within(time.Hour)
}

// until ends an outage when the weather changes next.
func (w *simWorld) until(a *simActor, d time.Duration, end func()) time.Duration {
	act := a.act
	a.act = func(a *simActor) time.Duration {
		end()
		a.act = act
		return a.within(30 * time.Minute)
	}
	return d
}

func simPick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// chance is true once in n times.
func (a *simActor) chance(n int) bool { return a.rng.IntN(n) == 0 }

// within is a random while below most.
func (a *simActor) within(most time.Duration) time.Duration {
	return time.Duration(a.rng.Int64N(int64(max(most, 1)))).Truncate(time.Millisecond)
}

// simQueue holds what is on its way to the collector, by when it arrives.
type simQueue[T any] []struct {
	at   time.Time
	what T
}

func (q *simQueue[T]) put(at time.Time, what T) {
	i := len(*q)
	for i > 0 && (*q)[i-1].at.After(at) {
		i--
	}
	*q = append(*q, struct {
		at   time.Time
		what T
	}{})
	copy((*q)[i+1:], (*q)[i:])
	(*q)[i].at, (*q)[i].what = at, what
}

// take gives what has arrived by now.
func (q *simQueue[T]) take() (all []T) {
	for len(*q) > 0 && !(*q)[0].at.After(time.Now()) {
		all = append(all, (*q)[0].what)
		*q = (*q)[1:]
	}
	return all
}

func (q simQueue[T]) next(otherwise time.Duration) time.Duration {
	if len(q) == 0 {
		return otherwise
	}
	return cmp.Or(max(time.Until(q[0].at), 0), time.Millisecond)
}
