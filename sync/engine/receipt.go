package engine

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// firstRetry and lastRetry bound the pause between attempts; it doubles.
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
	// attemptsToPark is how often an error that may pass is tried before a person must look.
	attemptsToPark = 10
	// orgMayWork is for how long Salesforce may work on a request after its client gave up.
	orgMayWork = 11 * time.Minute
	// failsToHalve is how many cycles in a row a request must fail whole with an error that
	// passes, while queries succeed, before it is sent in halves.
	failsToHalve = 3
	// parkedRetry is when a parked touchpoint is tried again by itself.
	parkedRetry = 24 * time.Hour
)

// A receipt is what became of one call.
type receipt struct {
	e      *Engine
	w      *writer
	f      *flight
	failed bool // as a whole

	outcomes []store.Outcome
	persons  []store.Person
	dead     map[string]bool    // record ids of persons that are no more
	later    []store.Touchpoint // what failed for no fault of its own
	slow     []store.Touchpoint // what the org may be working on still
	cut      map[string]bool    // whose person goes into a smaller collection
	stopped  *salesforce.Error  // of a row: no more calls are to be made
}

// A refusal is one row that was not taken.
type refusal struct {
	p   *parcel
	row int
	err *salesforce.Error
}

// take sorts the rows of an answer and stores what became of them.
func (r *receipt) take(ctx context.Context, results [][]salesforce.Result) error {
	refusals, whole := map[string][]refusal{}, map[string][]refusal{}
	accepted := map[string]bool{}
	r.cut, r.dead = map[string]bool{}, map[string]bool{}
	tooMany, crowded, sent := false, false, 0
	for _, all := range results {
		sent += len(all)
	}
	for i := range r.f.parcels {
		p := &r.f.parcels[i]
		all := true
		for row, result := range results[i] {
			crowded = crowded || salesforce.Contended(result.Err)
			switch class := classOf(asError(result.Err)); {
			case result.Err == nil:
				accepted[p.object] = true
				r.written(p, row, result)
			case r.turn(p, row, result.Err):
			case result.Err.TimedOut && class == salesforce.Split:
				all = false
				if err := r.timedOut(ctx, p, row, sent, result.Err); err != nil {
					return err
				}
			case r.failed && sent > 1 && r.halves(result.Err):
				// A request that failed whole may do so for one of its records.
				all = false
				r.w.limit(r.w.apart, p.name(row), (sent+1)/2)
				if p.whos != nil {
					r.cut[p.name(row)] = true
				}
				whole[p.object] = append(whole[p.object], refusal{p, row, result.Err})
			case !r.failed && len(results[i]) > 1 && result.Err.Status >= 400 && r.halves(result.Err):
				all = false // so may a collection
				r.smaller(p, row, (len(results[i])+1)/2)
				whole[p.object] = append(whole[p.object], refusal{p, row, result.Err})
			case len(results[i]) > 1 && (class == salesforce.Split || class == salesforce.Bug):
				tooMany, all = tooMany || class == salesforce.Split, false
				r.smaller(p, row, (len(results[i])+1)/2)
			default:
				all = false
				if r.failed && sent == 1 && r.halves(result.Err) && len(r.e.suspects) < mostHeld {
					r.e.suspects[p.name(row)] = true
				}
				refusals[p.object] = append(refusals[p.object], refusal{p, row, result.Err})
			}
		}
		if all && accepted[p.object] {
			if err := r.e.grow(ctx, len(results[i])); err != nil {
				return err
			}
		}
	}
	r.e.crowd(crowded)
	if len(accepted) > 0 {
		if err := r.e.growRequests(ctx, sent); err != nil {
			return err
		}
	}
	if tooMany {
		if err := r.e.halve(ctx, r.f.size); err != nil {
			return err
		}
	}
	for _, object := range []string{personObject, r.e.cfg.TouchpointObject} { // a touchpoint's fate may be its person's
		if err := r.refuse(ctx, object, refusals[object], accepted[object]); err != nil {
			return err
		}
		// An error that is about the object by its meaning is proved by single records.
		rows := whole[object]
		if object == personObject && r.failed && len(whole[r.e.cfg.TouchpointObject]) > 0 {
			continue // it names no object; the other one is likelier
		}
		if len(rows) > 0 && !accepted[object] && classOf(rows[0].err) == salesforce.StopClass {
			if _, err := r.suspect(ctx, object, rows, false); err != nil {
				return err
			}
		}
	}
	return r.store(ctx)
}

func (r *receipt) written(p *parcel, row int, result salesforce.Result) {
	delete(r.e.suspects, p.name(row))
	if p.whos != nil {
		person := store.Person{Who: p.whos[row], RecordID: result.ID, Key: store.CallKey(p.whos[row])}
		r.w.persons[person.Who], r.w.fresh[person.Who] = person, true
		r.persons = append(r.persons, person)
		return
	}
	t := p.touchpoints[row]
	o := store.Outcome{Key: t.Key, Hash: t.Hash, RecordID: result.ID, State: store.Written}
	person := r.w.persons[t.Who].RecordID
	switch p.modes[row] {
	case create:
		o.Master = cmp.Or(p.masters[row], person)
	case update:
		if place := r.f.places[t.Key]; place.RecordID == result.ID {
			o.Master = place.Master
			o.Again = person != "" && place.Master != person
		}
	}
	delete(r.w.as, t.Key)
	r.outcomes = append(r.outcomes, o)
	if !o.Again {
		r.w.summary.TouchpointsWritten++
	}
}

// halves reports whether a request or collection that failed whole is sent again in halves,
// to isolate the record that it fails for.
func (r *receipt) halves(err *salesforce.Error) bool {
	switch classOf(err) {
	case salesforce.Split, salesforce.Bug, salesforce.StopClass, salesforce.Park:
		return true
	case salesforce.Retry:
		return r.w.passesNot(r.f, err)
	}
	return false
}

// smaller leaves the row due and halves the collection that it may travel in, to isolate
// the record that causes the failure.
func (r *receipt) smaller(p *parcel, row, most int) {
	r.w.limit(r.w.most, p.name(row), most)
	if p.whos != nil {
		r.cut[p.whos[row]] = true
	}
}

// timedOut has a row wait until Salesforce must have ended the work on its request.
// Requests become smaller; alone, the row counts an attempt.
func (r *receipt) timedOut(ctx context.Context, p *parcel, row, sent int, err *salesforce.Error) error {
	until := r.e.local().Add(orgMayWork)
	if p.whos != nil {
		r.e.slow[p.whos[row]] = until
		r.cut[p.whos[row]] = true
	} else {
		t := p.touchpoints[row]
		for _, parent := range []string{t.Who, r.w.persons[t.Who].RecordID} {
			if parent != "" {
				r.e.slow[parent] = until
			}
		}
		if sent == 1 {
			o := r.e.outcome(t, err, salesforce.Retry)
			if o.State == store.Retrying {
				o.Next = until
			}
			r.outcomes = append(r.outcomes, o)
		} else {
			r.slow = append(r.slow, t)
		}
	}
	r.w.late = err
	return r.e.shrink(ctx, sent)
}

// refuse decides about the rows of one object that were not taken.
func (r *receipt) refuse(ctx context.Context, object string, rows []refusal, accepted bool) error {
	if accepted {
		r.w.accepted[object] = true
		if err := r.e.resume(ctx, object, r.w.now); err != nil {
			return err
		}
	} else if len(rows) > 0 && alike(rows) && closing(rows[0].err, r.failed || rows[0].err.Status >= 400) {
		wait, err := r.suspect(ctx, object, rows, true)
		if err != nil {
			return err
		}
		if wait {
			var waiting []store.Touchpoint
			for _, row := range rows {
				if row.p.whos == nil {
					waiting = append(waiting, row.p.touchpoints[row.row])
				}
			}
			return r.e.putOff(ctx, waiting, r.e.closure(object), true)
		}
	} else if len(rows) > 0 && !alike(rows) {
		if err := r.other(ctx, object); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if row.p.whos != nil {
			r.refusePerson(row.p.whos[row.row], row.err)
		} else if err := r.refuseTouchpoint(ctx, row.p.touchpoints[row.row], row.p.masters[row.row], row.err); err != nil {
			return err
		}
	}
	return nil
}

// alike reports whether all rows were refused for the same.
func alike(rows []refusal) bool {
	return !slices.ContainsFunc(rows, func(row refusal) bool { return refusedAlike(row.err) != refusedAlike(rows[0].err) })
}

// refusePerson records why a person was refused; its touchpoints fail with the same error.
func (r *receipt) refusePerson(who string, err *salesforce.Error) {
	if classOf(err) == salesforce.Retry && err.Status == 0 && !r.failed && !r.w.again[who] {
		r.w.again[who], r.cut[who] = true, true // a lock is gone more often than not by now
		return
	}
	r.w.refused[who] = err
	r.persons = append(r.persons, store.Person{Who: who, Code: err.Code, Message: err.Message})
}

func (r *receipt) refuseTouchpoint(ctx context.Context, t store.Touchpoint, master string, err *salesforce.Error) error {
	class := classOf(err)
	own := err.Status == 0 && !r.failed
	switch {
	case class == salesforce.StopCalls || class == salesforce.Canceled:
		r.stopped = err // nothing was said about this row: it stays due
		return nil
	case r.failed && class == salesforce.Retry && !r.w.passesNot(r.f, err):
		r.later = append(r.later, t)
		return nil
	case class == salesforce.WaitParent && r.cut[t.Who]:
		return nil // it stays due, and its person goes first
	case class == salesforce.WaitParent:
		if p := r.e.closure(personObject); p != nil && !p.Quiet && r.w.persons[t.Who].RecordID == "" {
			return r.e.putOff(ctx, []store.Touchpoint{t}, p, true)
		}
		if cause := r.w.refused[t.Who]; cause != nil {
			err, class = personError(cause), classOf(cause)
		}
	case r.w.wrongPerson(t, master, err):
		r.dead[master] = true
		return nil // it stays due, and its person is looked up again
	case class == salesforce.Retry && own && !r.w.again[t.Key]:
		// A lock is gone more often than not by the time that the call returns.
		r.w.again[t.Key] = true
		return nil
	}
	r.outcomes = append(r.outcomes, r.e.outcome(t, err, class))
	return nil
}

// personError returns the error of a touchpoint whose person is missing.
func personError(cause *salesforce.Error) *salesforce.Error {
	e := *cause
	e.Message = "its Bizible Person is refused: " + cause.Message
	return &e
}

// wrongPerson reports a link to a person (master) that was deleted or merged since it was
// remembered. One that was looked up just now is not looked up again.
func (w *writer) wrongPerson(t store.Touchpoint, master string, err *salesforce.Error) bool {
	if master == "" || w.fresh[t.Who] {
		return false
	}
	if err.Code != "INVALID_CROSS_REFERENCE_KEY" && err.Code != "ENTITY_IS_DELETED" {
		return false
	}
	return len(err.Fields) == 0 || slices.ContainsFunc(err.Fields, func(f string) bool { return strings.EqualFold(f, t.PersonField) })
}

// outcome returns what to do about a row that was refused.
func (e *Engine) outcome(t store.Touchpoint, err *salesforce.Error, class salesforce.Class) store.Outcome {
	o := store.Outcome{Key: t.Key, Hash: t.Hash, Delete: t.Delete, Attempt: t.Attempts + 1, Code: refusedAlike(err), Message: err.Message}
	if o.Message == "" && err.Err != nil {
		o.Message = err.Err.Error()
	}
	switch class {
	case salesforce.Retry, salesforce.WaitParent, salesforce.Split:
		if t.Attempts+1 < attemptsToPark {
			o.State, o.Next = store.Retrying, e.local().Add(e.backoff(t.Attempts))
			return o
		}
	case salesforce.StopClass:
		e.forgetSchema()
		if t.Attempts+1 < attemptsToPark {
			o.State, o.Next = store.Retrying, e.local().Add(max(firstPause, e.backoff(t.Attempts)))
			return o
		}
	}
	o.State, o.Next = store.Parked, e.local().Add(parkedRetry)
	return o
}

// backoff doubles with every attempt, within bounds, and is spread by a fifth either way.
func (e *Engine) backoff(attempts int) time.Duration {
	d := min(lastRetry, firstRetry<<min(attempts, 12))
	return time.Duration(float64(d) * (0.8 + 0.4*e.cfg.Rand.Float64()))
}

// store records what became of the rows.
func (r *receipt) store(ctx context.Context) error {
	s := r.e.cfg.Store
	if err := r.w.losePersons(ctx, r.dead); err != nil {
		return err
	}
	if err := s.PutPersons(ctx, r.persons); err != nil {
		return err
	}
	if err := s.Finish(ctx, r.e.local(), r.outcomes); err != nil {
		return err
	}
	if err := s.Postpone(ctx, keysOf(r.slow), r.e.local().Add(orgMayWork), "", ""); err != nil {
		return err
	}
	// Due still, but behind the others: should these be what the call failed for, they
	// must not be the only ones that are ever tried.
	return s.Postpone(ctx, keysOf(r.later), r.e.local(), "", "")
}

// statusName names an error without a code.
func statusName(status int) string {
	if status == 0 {
		return salesforce.CodeNoAnswer
	}
	return strings.TrimSpace("HTTP " + strconv.Itoa(status) + " " + http.StatusText(status))
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(err *salesforce.Error) error {
	if err == nil {
		return nil
	}
	return err
}
