package engine

import (
	"context"
	"errors"
	"slices"
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
	// parkedRetry is when a parked touchpoint is tried again by itself.
	parkedRetry = 24 * time.Hour
	// recordWithin bounds how long an answer may take to be recorded after a stop.
	recordWithin = 10 * time.Second
)

// deliver sends up to five parcels in one call and records what became of each row.
func (e *Engine) deliver(ctx context.Context, parcels []parcel, x *shipment) (*receipt, error) {
	var batches []salesforce.Batch
	var all []store.Touchpoint
	for _, p := range parcels {
		batches = append(batches, p.batch)
		all = append(all, p.touchpoints...)
	}
	if err := e.cfg.Store.Begin(ctx, all); err != nil {
		return nil, err
	}
	e.step("intent-stored")
	results, err := e.cfg.Org.Upsert(ctx, batches)
	e.step("answered")
	if results == nil && err != nil {
		results = allFailed(batches, err)
	}
	// The answer is recorded even if we are told to stop: losing it costs another write.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	r := &receipt{e: e, x: x, failed: err != nil}
	if rerr := r.take(record, parcels, results); rerr != nil {
		return nil, errors.Join(err, rerr)
	}
	e.step("outcome-stored")
	switch classOf(err) {
	case salesforce.Retry, salesforce.StopCalls, salesforce.Canceled:
		return nil, err
	}
	return r, nil // what else a request is refused for, its rows have
}

// allFailed is what became of each record of a request that never was one.
func allFailed(batches []salesforce.Batch, err error) [][]salesforce.Result {
	e, ok := errors.AsType[*salesforce.Error](err)
	if !ok {
		e = &salesforce.Error{Op: "upsert", Err: err}
	}
	all := make([][]salesforce.Result, len(batches))
	for i, b := range batches {
		all[i] = slices.Repeat([]salesforce.Result{{Err: e}}, len(b.Records))
	}
	return all
}

// A receipt is what became of one call.
type receipt struct {
	e      *Engine
	x      *shipment
	failed bool // as a whole

	outcomes []store.Outcome
	persons  []store.Person
	forget   []string           // Leads and Contacts whose person turned out wrong
	later    []store.Touchpoint // what failed for no fault of its own

	again   []store.Touchpoint // to be sent in another round, now
	smaller []parcel           // to be sent next, in smaller collections
}

// A refusal is one row that was not taken.
type refusal struct {
	p   *parcel
	row int
	err *salesforce.Error
}

// take sorts the rows of an answer and stores what became of them.
func (r *receipt) take(ctx context.Context, parcels []parcel, results [][]salesforce.Result) error {
	refusals := map[string][]refusal{}
	accepted := map[string]bool{}
	tooMany := false
	for i := range parcels {
		p := &parcels[i]
		var cut []int
		for row, result := range results[i] {
			switch class := classOf(asError(result.Err)); {
			case result.Err == nil:
				accepted[p.batch.Object] = true
				r.written(p, row, result)
			case len(results[i]) > 1 && (class == salesforce.Split || class == salesforce.Bug):
				tooMany = tooMany || class == salesforce.Split
				cut = append(cut, row)
			default:
				refusals[p.batch.Object] = append(refusals[p.batch.Object], refusal{p, row, result.Err})
			}
		}
		if len(cut) > 0 {
			r.smaller = append(r.smaller, r.halves(p, cut)...)
		} else if accepted[p.batch.Object] {
			if err := r.e.grow(ctx, len(results[i])); err != nil {
				return err
			}
		}
	}
	if tooMany {
		if err := r.e.halve(ctx); err != nil {
			return err
		}
	}
	for _, object := range []string{personObject, r.e.cfg.TouchpointObject} { // a touchpoint's fate may be its person's
		if err := r.refuse(ctx, object, refusals[object], accepted[object]); err != nil {
			return err
		}
	}
	return r.store(ctx)
}

func (r *receipt) written(p *parcel, row int, result salesforce.Result) {
	if p.whos != nil {
		person := store.Person{Who: p.whos[row], RecordID: result.ID}
		r.x.persons[person.Who], r.x.fresh[person.Who] = person, true
		r.persons = append(r.persons, person)
		return
	}
	t := p.touchpoints[row]
	r.outcomes = append(r.outcomes, store.Outcome{Key: t.Key, Hash: t.Hash, RecordID: result.ID, State: store.Written})
	r.x.summary.TouchpointsWritten++
}

// halves sends rows again in two collections: smaller ones may pass, or show the row
// that nobody understands.
func (r *receipt) halves(p *parcel, rows []int) []parcel {
	var two []parcel
	for half := range slices.Chunk(rows, (len(rows)+1)/2) {
		part := parcel{batch: p.batch}
		part.batch.Records = nil
		for _, row := range half {
			part.batch.Records = append(part.batch.Records, p.batch.Records[row])
			if p.whos != nil {
				part.whos = append(part.whos, p.whos[row])
			} else {
				part.touchpoints = append(part.touchpoints, p.touchpoints[row])
			}
		}
		two = append(two, part)
	}
	return two
}

// refuse decides about the rows of one object that were not taken.
func (r *receipt) refuse(ctx context.Context, object string, rows []refusal, accepted bool) error {
	if accepted {
		if err := r.e.resume(ctx, object); err != nil {
			return err
		}
	} else if len(rows) > 0 && alike(rows) {
		p := r.e.paused(object)
		if wholeObject(rows[0].err, len(rows)) || p != nil && p.Code == rows[0].err.Code {
			if err := r.e.pauseObject(ctx, object, rows[0].err); err != nil {
				return err
			}
			var waiting []store.Touchpoint
			for _, row := range rows {
				if row.p.whos == nil {
					waiting = append(waiting, row.p.touchpoints[row.row])
				}
			}
			return r.e.putOff(ctx, waiting, r.e.paused(object))
		}
	}
	for _, row := range rows {
		if row.p.whos != nil {
			r.refusePerson(row.p.whos[row.row], row.err)
		} else if err := r.refuseTouchpoint(ctx, row.p.touchpoints[row.row], row.err); err != nil {
			return err
		}
	}
	return nil
}

// alike reports whether all rows were refused for the same.
func alike(rows []refusal) bool {
	return !slices.ContainsFunc(rows, func(row refusal) bool { return row.err.Code != rows[0].err.Code })
}

// refusePerson remembers why a person was not taken: its touchpoints are told.
func (r *receipt) refusePerson(who string, err *salesforce.Error) {
	r.x.refused[who] = err
	r.persons = append(r.persons, store.Person{Who: who, Code: err.Code, Message: err.Message})
}

func (r *receipt) refuseTouchpoint(ctx context.Context, t store.Touchpoint, err *salesforce.Error) error {
	class := classOf(err)
	own := err.Status == 0 && !r.failed
	switch {
	case class == salesforce.StopCalls || class == salesforce.Canceled:
		return nil // nothing was said about this row: it stays due
	case r.failed && class == salesforce.Retry:
		r.later = append(r.later, t)
		return nil
	case class == salesforce.WaitParent:
		if p := r.e.paused(personObject); p != nil && r.x.persons[t.Who].RecordID == "" {
			return r.e.putOff(ctx, []store.Touchpoint{t}, p)
		}
		if cause := r.x.refused[t.Who]; cause != nil {
			err, class = personError(cause), classOf(cause)
		}
	case r.wrongPerson(t, err):
		r.forget = append(r.forget, t.Who)
		delete(r.x.persons, t.Who)
		r.again = append(r.again, t)
		return nil
	case class == salesforce.Retry && own && !r.x.again[t.Key]:
		// A lock is gone more often than not by the time that the call returns.
		r.x.again[t.Key] = true
		r.again = append(r.again, t)
		return nil
	}
	r.outcomes = append(r.outcomes, r.e.outcome(t, err, class))
	return nil
}

// personError tells a touchpoint why its person is missing.
func personError(cause *salesforce.Error) *salesforce.Error {
	e := *cause
	e.Message = "its Bizible Person is refused: " + cause.Message
	return &e
}

// wrongPerson reports a link to a person that was deleted or merged since it was
// remembered. One that was looked up just now is not looked up again.
func (r *receipt) wrongPerson(t store.Touchpoint, err *salesforce.Error) bool {
	if t.PersonField == "" || r.x.persons[t.Who].RecordID == "" || r.x.fresh[t.Who] {
		return false
	}
	if err.Code != "INVALID_CROSS_REFERENCE_KEY" && err.Code != "ENTITY_IS_DELETED" {
		return false
	}
	return len(err.Fields) == 0 || slices.ContainsFunc(err.Fields, func(f string) bool { return strings.EqualFold(f, t.PersonField) })
}

// outcome says what to do about a row that was refused.
func (e *Engine) outcome(t store.Touchpoint, err *salesforce.Error, class salesforce.Class) store.Outcome {
	o := store.Outcome{Key: t.Key, Hash: t.Hash, Code: err.Code, Message: err.Message}
	switch class {
	case salesforce.Retry, salesforce.WaitParent, salesforce.Split:
		if t.Attempts+1 < attemptsToPark {
			o.State, o.Next = store.Retrying, e.now().Add(e.backoff(t.Attempts))
			return o
		}
	case salesforce.StopClass:
		e.forgetSchema()
	}
	o.State, o.Next = store.Parked, e.now().Add(parkedRetry)
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
	if err := s.ForgetPersons(ctx, r.forget); err != nil {
		return err
	}
	if err := s.PutPersons(ctx, r.persons); err != nil {
		return err
	}
	if err := s.Finish(ctx, r.e.now(), r.outcomes); err != nil {
		return err
	}
	// Due still, but behind the others: should these be what the call failed for, they
	// must not be the only ones that are ever tried.
	return s.Postpone(ctx, keysOf(r.later), r.e.now(), "", "")
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(err *salesforce.Error) error {
	if err == nil {
		return nil
	}
	return err
}
