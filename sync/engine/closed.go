package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// How callpoint decides that Salesforce refuses an object, and not some of its records:
//
// Records that are refused alike, with none accepted beside them, make the object suspect.
// Records that were never refused and share neither person nor call with the refused ones
// are then sent, one at first, then more, in one request at a time. If one of them is
// accepted, the object takes records: the refused ones are parked, and all others are sent.
// If all of them are refused alike, the object is closed: it is paused, and nothing is held
// against records that were not sent. Where no such record is due, a large number of
// different records that are refused alike is taken for the same, until such a record
// comes up.

// probeSizes are the numbers of records that are tried in turn before an object is closed.
// A closed object is tried with as many as the second.
var probeSizes = [...]int{1, 10, 100}

const (
	// alikeRows is how many unrelated records refused alike in one request make a pause
	// where no other record is due.
	alikeRows = 25
	// otherRefusals is how many probes may be refused for other reasons before the object
	// is no longer suspect.
	otherRefusals = 5
	// mostHeld bounds the keys that are remembered to be made due at the end of a pause.
	// The rest is due at its time.
	mostHeld = 100_000
)

// A closure is what is known of an object that is suspect or closed. It is kept over restarts.
type closure struct {
	Pause
	// Proven: records that share nothing with those refused first were refused, too.
	Proven bool `json:"proven,omitempty"`
	// Quiet: it is suspect for a few records. Nothing is paused, nobody is alerted, and it
	// ends with the cycle.
	Quiet  bool     `json:"quiet,omitempty"`
	Probes int      `json:"probes,omitempty"` // requests of unrelated records that were refused alike
	Others int      `json:"others,omitempty"` // probes refused for other reasons
	Parked []string `json:"parked,omitempty"` // keys of records that were parked before it was proven
}

// refusedAlike is what two refusals have in common.
func refusedAlike(e *salesforce.Error) string { return cmp.Or(e.Code, statusName(e.Status)) }

// closing reports whether an error may concern the object rather than the record. whole is
// an error of a whole request.
func closing(err *salesforce.Error, whole bool) bool {
	switch classOf(err) {
	case salesforce.StopClass, salesforce.Park:
		return true
	case salesforce.Split, salesforce.Bug:
		return whole && !err.TimedOut
	}
	return false
}

// suspect takes note of records of an object that were refused alike, with none accepted
// beside them. It reports whether they wait for the end of a pause; else each has its own
// outcome. verdict is false if a whole request failed, which proves nothing about each record.
func (r *receipt) suspect(ctx context.Context, object string, rows []refusal, verdict bool) (wait bool, err error) {
	e, cause := r.e, rows[0].err
	p := e.closure(object)
	switch {
	case p == nil:
		if p, err = r.newClosure(object, rows, verdict); p == nil || err != nil {
			return false, err
		}
	case p.Code != refusedAlike(cause):
		return false, r.other(ctx, object)
	case r.f.probe[object]:
		if verdict && e.fresh(object, rows[0]) {
			p.Probes++
		}
		if now := e.local(); !now.Before(p.Until) {
			p.For = min(e.lastPause(cause), 2*p.For)
			p.Until = now.Add(p.For)
		}
		if p.Probes >= len(probeSizes) && !p.Proven {
			p.Proven, p.Quiet = true, false
			p.For = inconclusiveDelay // good records may be among those that wait
			p.Until = e.local().Add(p.For)
		}
	}
	if verdict {
		for _, row := range rows {
			e.relate(object, row)
			if p.Quiet && row.p.whos == nil && len(p.Parked) < mostHeld {
				p.Parked = append(p.Parked, row.p.touchpoints[row.row].Key)
			}
		}
	}
	if p.Proven {
		e.announce(p)
	}
	return verdict && !p.Quiet, e.setPauses(ctx, func(all map[string]closure) { all[object] = *p })
}

// newClosure begins to suspect an object, or returns nil where there is no reason to.
func (r *receipt) newClosure(object string, rows []refusal, verdict bool) (*closure, error) {
	e, cause := r.e, rows[0].err
	units, err := r.units(object, rows)
	if err != nil {
		return nil, err
	}
	stop := classOf(cause) == salesforce.StopClass
	if len(rows) < 2 && !stop && verdict && classOf(cause) == salesforce.Park {
		return nil, nil // one record says nothing of the others
	}
	if units == 0 {
		return nil, nil // they were refused before, and others were accepted since
	}
	now := e.local()
	e.related[object] = map[string]bool{}
	// That others were accepted in this cycle takes more than a number to refute.
	quiet := !stop && units < alikeRows || r.w.accepted[object]
	return &closure{Quiet: quiet, Pause: Pause{
		Object: object, Code: refusedAlike(cause), Message: cause.Message, Cure: salesforce.Cure(cause),
		Since: now, For: firstPause, Until: now.Add(firstPause), fields: cause.Fields,
	}}, nil
}

// units counts the records that were not refused before and share neither person nor call.
func (r *receipt) units(object string, rows []refusal) (n int, err error) {
	var whos []string
	for _, row := range rows {
		if row.p.whos != nil {
			whos = append(whos, row.p.whos[row.row])
		}
	}
	known, err := r.e.cfg.Store.Persons(whos)
	if err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	for _, row := range rows {
		if row.p.whos != nil {
			if who := row.p.whos[row.row]; known[who].Code == "" && !seen[who] {
				seen[who], n = true, n+1
			}
			continue
		}
		t := row.p.touchpoints[row.row]
		if related := relatives(t); t.Code == "" && !slices.ContainsFunc(related, func(k string) bool { return seen[k] }) {
			n++
			for _, k := range related {
				seen[k] = true
			}
		}
	}
	return n, nil
}

// relatives names what a touchpoint may share with others: its call, and its person.
func relatives(t store.Touchpoint) []string {
	all := []string{cmp.Or(t.TaskID, t.Key)}
	if t.Who != "" {
		all = append(all, t.Who)
	}
	return all
}

// relate remembers that a record of an object was refused.
func (e *Engine) relate(object string, row refusal) {
	all := e.related[object]
	if all == nil {
		all = map[string]bool{}
		e.related[object] = all
	}
	if len(all) >= mostHeld {
		return
	}
	if row.p.whos != nil {
		all[row.p.whos[row.row]] = true
		return
	}
	for _, k := range relatives(row.p.touchpoints[row.row]) {
		all[k] = true
	}
}

// fresh reports whether a record that was sent was never refused, and shares nothing with
// those that were.
func (e *Engine) fresh(object string, row refusal) bool {
	if row.p.whos != nil {
		return !e.related[object][row.p.whos[row.row]]
	}
	return e.unrelated(object, row.p.touchpoints[row.row])
}

func (e *Engine) unrelated(object string, t store.Touchpoint) bool {
	return t.Code == "" && !slices.ContainsFunc(relatives(t), func(k string) bool { return e.related[object][k] })
}

// other counts a probe whose records were refused for different reasons: if that happens
// often, the reasons are the records' own.
func (r *receipt) other(ctx context.Context, object string) error {
	p := r.e.closure(object)
	if p == nil || p.Proven || !r.f.probe[object] {
		return nil
	}
	p.Others++
	return r.e.setPauses(ctx, func(all map[string]closure) {
		if all[object] = *p; p.Others > otherRefusals {
			delete(all, object)
		}
	})
}

// announce logs once that an object is paused.
func (e *Engine) announce(p *closure) {
	if e.announced[p.Object].Equal(p.Since) {
		return
	}
	e.announced[p.Object] = p.Since
	e.forgetSchema() // its description may be out of date
	e.cfg.Log.Error("Salesforce refuses every record of an object: it is paused, and callpoint parked has its words",
		"object", p.Object, "code", p.Code, "fields", p.fields, "cure", p.Cure, "next_try", p.Until)
}

// endSuspicions drops what ends with the cycle, and announces what stays.
func (e *Engine) endSuspicions(ctx context.Context) error {
	quiet := false
	for _, p := range e.pauses {
		if quiet = quiet || p.Quiet; !p.Quiet {
			e.announce(&p)
		}
	}
	if !quiet {
		return nil
	}
	return e.setPauses(ctx, func(all map[string]closure) {
		for object, p := range all {
			if p.Quiet {
				delete(all, object)
			}
		}
	})
}

// resume ends the pause of an object of which a record was accepted. Whatever waited for its
// end is due from now on, and so are the records that were parked before it was proven.
func (e *Engine) resume(ctx context.Context, object string, now time.Time) error {
	p := e.closure(object)
	if p == nil {
		return nil
	}
	if !p.Quiet {
		e.cfg.Log.Info("Salesforce takes records of the object again", "object", object, "paused_since", p.Since)
	}
	if err := e.setPauses(ctx, func(all map[string]closure) { delete(all, object) }); err != nil {
		return err
	}
	held := e.held[object]
	delete(e.held, object)
	delete(e.related, object)
	if err := e.cfg.Store.Postpone(ctx, held, now, "", ""); err != nil || !p.Proven {
		return err
	}
	keys := map[string]bool{}
	for _, key := range p.Parked {
		keys[key] = true
	}
	_, err := e.cfg.Store.MakeParkedDue(ctx, now, keys)
	return err
}

// hold remembers touchpoints that wait for the end of a pause.
func (e *Engine) hold(object string, keys []string) {
	if room := mostHeld - len(e.held[object]); room > 0 {
		e.held[object] = append(e.held[object], keys[:min(room, len(keys))]...)
	}
}
