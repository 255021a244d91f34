package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// firstPause and lastPause bound how long an object waits before it is tried with one
	// record; it doubles.
	firstPause = 15 * time.Minute
	lastPause  = 4 * time.Hour
	// undecided is the pause after a record that told nothing about its object.
	undecided = time.Minute
	// alikeRows is how many records must be refused alike, and none accepted, before the
	// object is held to be the cause and not the records.
	alikeRows = 25
)

// A Pause says that Salesforce refuses every record of an object for one reason, such as
// a missing permission. Its records wait; one of them is sent now and then to see.
type Pause struct {
	Object  string        `json:"object"`
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Cure    string        `json:"cure"`
	Since   time.Time     `json:"since"`
	Until   time.Time     `json:"until"` // then one record is tried
	For     time.Duration `json:"for"`   // how long the last wait is
}

// A PausedError is the end of a cycle that left touchpoints because of a Pause. It gets into
// logs, so it leaves out Salesforce's words: a trigger's may hold values of the record.
type PausedError struct{ Pauses []Pause }

func (e *PausedError) Error() string {
	var all []string
	for _, p := range e.Pauses {
		all = append(all, fmt.Sprintf("Salesforce refuses every record of %s (%s; callpoint parked has its words); one is tried again at %s",
			p.Object, p.Code, p.Until.UTC().Format("2006-01-02 15:04 UTC")))
	}
	return strings.Join(all, "; ")
}

// Cure says what to do about it.
func (e *PausedError) Cure() string {
	var all []string
	for _, p := range e.Pauses {
		all = append(all, p.Cure)
	}
	return strings.Join(all, "\n")
}

// paused gives the pause of an object, or nil.
func (e *Engine) paused(object string) *Pause {
	if p, ok := e.pauses[object]; ok {
		return &p
	}
	return nil
}

// wholeObject says whether an error of every record that was sent concerns the object
// rather than the records.
func wholeObject(err *salesforce.Error, rows int) bool {
	switch classOf(err) {
	case salesforce.StopClass:
		return true
	case salesforce.Park:
		switch err.Code {
		// These are a lacking permission more often than not.
		case "INSUFFICIENT_ACCESS_OR_READONLY", "INVALID_FIELD_FOR_INSERT_UPDATE", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY":
			return rows > 1
		}
		return rows >= alikeRows
	}
	return false
}

// pauseObject begins a pause, or prolongs it where the one record that was tried met the
// same refusal.
func (e *Engine) pauseObject(ctx context.Context, object string, cause *salesforce.Error) error {
	now := e.now()
	p := Pause{Object: object, Since: now, For: firstPause}
	if old := e.paused(object); old != nil {
		p.Since, p.For = old.Since, min(lastPause, 2*old.For)
	}
	p.Code, p.Message, p.Cure, p.Until = cause.Code, cause.Message, salesforce.Cure(cause), now.Add(p.For)
	if p.Since.Equal(now) {
		e.cfg.Log.Error("Salesforce refuses every record of an object: it is paused, and callpoint parked has its words",
			"object", object, "code", p.Code, "fields", cause.Fields, "cure", p.Cure, "next_try", p.Until)
	}
	e.forgetSchema() // its description may be out of date
	return e.setPauses(ctx, func(all map[string]Pause) { all[object] = p })
}

// undecidedPause lets some time go by after a record that was refused for a reason of its own.
func (e *Engine) undecidedPause(ctx context.Context, object string) error {
	p := e.paused(object)
	if p == nil || p.Until.After(e.now()) {
		return nil
	}
	p.Until = e.now().Add(undecided)
	return e.setPauses(ctx, func(all map[string]Pause) { all[object] = *p })
}

// resume ends the pause of an object that takes records again. What was put off to its
// end is due by now.
func (e *Engine) resume(ctx context.Context, object string) error {
	p := e.paused(object)
	if p == nil {
		return nil
	}
	e.cfg.Log.Info("Salesforce takes records of the object again", "object", object, "paused_since", p.Since)
	return e.setPauses(ctx, func(all map[string]Pause) { delete(all, object) })
}

// retryAll makes everything due that was refused or put off, and lets a record be tried
// at once where an object is paused: something changed that may have been the reason.
func (e *Engine) retryAll(ctx context.Context) (int, error) {
	if len(e.pauses) > 0 {
		err := e.setPauses(ctx, func(all map[string]Pause) {
			for object, p := range all {
				p.Until = e.now()
				all[object] = p
			}
		})
		if err != nil {
			return 0, err
		}
	}
	if err := e.retryReasons(ctx); err != nil {
		return 0, err
	}
	return e.cfg.Store.MakeAllDue(ctx, e.now())
}

// RetryParked makes parked touchpoints due: those of these Tasks or keys, or without any
// all of them and whatever waits for a pause. The next cycle sends them.
func (e *Engine) RetryParked(ctx context.Context, ids []string) (n int, err error) {
	err = e.alone(ctx, func() error {
		if err := e.restore(); err != nil {
			return err
		}
		if len(ids) == 0 {
			if org, ok := e.cfg.Org.(interface{ ResumeLogin() }); ok {
				org.ResumeLogin()
			}
			n, err = e.retryAll(ctx)
			return err
		}
		keys := map[string]bool{}
		for _, id := range ids {
			if !strings.HasPrefix(id, store.CallKey("")) {
				id = store.CallKey(mapping.ID18(id))
			}
			keys[id] = true
		}
		n, err = e.cfg.Store.MakeParkedDue(ctx, e.now(), keys)
		return err
	})
	return n, err
}

// setPauses changes the pauses and keeps them over a restart.
func (e *Engine) setPauses(ctx context.Context, change func(map[string]Pause)) error {
	all := maps.Clone(e.pauses)
	if all == nil {
		all = map[string]Pause{}
	}
	change(all)
	e.mu.Lock()
	e.pauses = all
	e.mu.Unlock()
	return e.cfg.Store.SetState(ctx, "pauses", all)
}

// Pauses lists the objects of which Salesforce refuses every record, as the store has them.
func (e *Engine) Pauses() ([]Pause, error) {
	kept := map[string]Pause{}
	_, err := e.cfg.Store.State("pauses", &kept)
	all := slices.SortedFunc(maps.Values(kept), func(a, b Pause) int { return cmp.Compare(a.Object, b.Object) })
	return append([]Pause{}, all...), err
}

// pausedErr is the error of a cycle that left touchpoints because of a pause.
func (e *Engine) pausedErr() error {
	if all := e.Last().Paused; len(all) > 0 {
		return &PausedError{all}
	}
	return nil
}

// putOff makes touchpoints wait for the end of a pause.
func (e *Engine) putOff(ctx context.Context, all []store.Touchpoint, p *Pause) error {
	return e.cfg.Store.Postpone(ctx, keysOf(all), p.Until, p.Code, p.Message)
}

func keysOf(all []store.Touchpoint) []string {
	keys := make([]string, len(all))
	for i, t := range all {
		keys[i] = t.Key
	}
	return keys
}

// classOf is salesforce.Classify for errors that are the engine's, too.
func classOf(err error) salesforce.Class {
	if b := (*BudgetError)(nil); errors.As(err, &b) {
		return salesforce.StopCalls
	}
	return salesforce.Classify(err)
}

// Cure is a sentence for the operator on what to do about a cycle's error.
func Cure(err error) string {
	var own interface{ Cure() string }
	if errors.As(err, &own) {
		return own.Cure()
	}
	return salesforce.Cure(err)
}
