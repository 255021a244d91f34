package engine

import (
	"context"
	"errors"
	"time"

	"callpoint/store"
)

// Run cycles at once, then every interval, until ctx ends. A failed cycle is logged
// and tried again; only what no later cycle can mend ends Run.
func (e *Engine) Run(ctx context.Context, interval time.Duration) error {
	var waiting []chan Report
	defer func() {
		for _, w := range waiting {
			w <- Report{Err: errors.New("callpoint is stopping")}
		}
	}()
	said := ""
	for {
		s, err := e.Cycle(ctx)
		if err == nil {
			err = e.reconcileWeekly(ctx)
		}
		for _, w := range waiting {
			w <- e.Last()
		}
		waiting = nil
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrOtherOrg), errors.As(err, new(*ConfigError)) && e.Last().Success.IsZero():
			return err
		}
		said = e.tell(s, err, said)
		if waiting = e.wait(ctx, interval); ctx.Err() != nil {
			return nil
		}
	}
}

// tell logs what a cycle did; the same failure twice is logged once.
func (e *Engine) tell(s Summary, err error, said string) string {
	switch {
	case err != nil && err.Error() == said:
		e.cfg.Log.Debug("cycle failed again", "err", err)
		return said
	case err != nil && errors.As(err, new(*PausedError)):
		return err.Error() // that was said when the pause began
	case err != nil:
		e.cfg.Log.Warn("cycle failed: it is tried again", "err", err)
		return err.Error()
	case said != "":
		e.cfg.Log.Info("cycle succeeded again")
	}
	if s.TasksChanged+s.Calls+s.TouchpointsWritten > 0 {
		e.cfg.Log.Info("synced", "tasks_changed", s.TasksChanged, "calls", s.Calls, "matched", s.Matched, "held", s.Held,
			"written", s.TouchpointsWritten, "parked", s.Parked, "api_calls", s.APICalls, "seconds", s.DurationSeconds)
	} else {
		e.cfg.Log.Debug("nothing new", "tasks_read", s.TasksRead, "api_calls", s.APICalls)
	}
	return ""
}

// wait sleeps until the next cycle is due or asked for, and gives back who asked.
func (e *Engine) wait(ctx context.Context, interval time.Duration) (waiting []chan Report) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case w := <-e.sooner:
		waiting = append(waiting, w)
	}
	// Whoever asked by now is served by the cycle that begins next.
	for {
		select {
		case w := <-e.sooner:
			waiting = append(waiting, w)
		default:
			return waiting
		}
	}
}

// Sync has Run make a complete cycle that begins after the call, and reports its end.
func (e *Engine) Sync(ctx context.Context) (Report, error) {
	w := make(chan Report, 1)
	select {
	case e.sooner <- w:
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	select {
	case r := <-w:
		return r, nil
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}
