package engine

import (
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
	// lastPassing is the longest wait where the cause is one that passes.
	lastPassing = 15 * time.Minute
	// inconclusiveDelay is the wait after a probe whose error proves nothing about its object.
	inconclusiveDelay = time.Minute
)

// A Pause is the time for which Salesforce refuses every record of an object for one reason, such as
// a missing permission. Its records wait; one of them is sent now and then to see.
type Pause struct {
	Object  string        `json:"object"`
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Cure    string        `json:"cure"`
	Since   time.Time     `json:"since"`
	Until   time.Time     `json:"until"` // then one record is tried
	For     time.Duration `json:"for"`   // how long the last wait is

	fields []string // that the refusal names
}

// lastPause is the longest wait for a cause.
func (e *Engine) lastPause(cause *salesforce.Error) time.Duration {
	if class := classOf(cause); class == salesforce.Retry || class == salesforce.Split {
		return lastPassing
	}
	return lastPause
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

// Cure returns what to do about it.
func (e *PausedError) Cure() string {
	var all []string
	for _, p := range e.Pauses {
		all = append(all, p.Cure)
	}
	return strings.Join(all, "\n")
}

// closure returns what is known of an object that is suspect or closed, or nil.
func (e *Engine) closure(object string) *closure {
	if p, ok := e.pauses[object]; ok {
		return &p
	}
	return nil
}

// inconclusive lets some time go by after a probe that was refused for a reason of its own.
func (e *Engine) inconclusive(ctx context.Context, object string) error {
	p := e.closure(object)
	if p == nil || !p.Proven || p.Until.After(e.local()) {
		return nil
	}
	p.Until = e.local().Add(inconclusiveDelay)
	return e.setPauses(ctx, func(all map[string]closure) { all[object] = *p })
}

// retryAll makes everything due that was refused or put off, and lets a record be tried
// at once where an object is paused: something changed that may have been the reason.
func (e *Engine) retryAll(ctx context.Context) (int, error) {
	if len(e.pauses) > 0 {
		err := e.setPauses(ctx, func(all map[string]closure) {
			for object, p := range all {
				p.Until = e.local()
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
	return e.cfg.Store.MakeAllDue(ctx, e.local())
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
		n, err = e.cfg.Store.MakeParkedDue(ctx, e.local(), keys)
		return err
	})
	return n, err
}

// setPauses changes the pauses and keeps them over a restart.
func (e *Engine) setPauses(ctx context.Context, change func(map[string]closure)) error {
	all := maps.Clone(e.pauses)
	if all == nil {
		all = map[string]closure{}
	}
	change(all)
	e.mu.Lock()
	e.pauses = all
	e.mu.Unlock()
	return e.cfg.Store.SetState(ctx, "pauses", all)
}

// Pauses lists the objects of which Salesforce refuses every record, as the store has them.
func (e *Engine) Pauses() ([]Pause, error) {
	kept := map[string]closure{}
	_, err := e.cfg.Store.State("pauses", &kept)
	return openPauses(kept), err
}

// openPauses lists the pauses by object, without objects that are only suspect.
func openPauses(all map[string]closure) []Pause {
	list := []Pause{}
	for _, object := range slices.Sorted(maps.Keys(all)) {
		if p := all[object]; !p.Quiet {
			list = append(list, p.Pause)
		}
	}
	return list
}

// pausedErr is the error of a cycle that left touchpoints because of a pause.
func (e *Engine) pausedErr() error {
	if all := e.Last().Paused; len(all) > 0 {
		return &PausedError{all}
	}
	return nil
}

// putOff makes touchpoints wait for the end of a pause. refused means that they were sent:
// nothing is held against those that were not.
func (e *Engine) putOff(ctx context.Context, all []store.Touchpoint, p *closure, refused bool) error {
	keys := keysOf(all)
	e.hold(p.Object, keys)
	if !refused {
		return e.cfg.Store.Postpone(ctx, keys, p.Until, "", "")
	}
	return e.cfg.Store.Postpone(ctx, keys, p.Until, p.Code, p.Message)
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
