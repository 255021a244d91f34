package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/sync/orgsim"
)

// TestKilledWithCallsUnderWay kills the process at every step at which two or three write
// calls are under way, of which one carries what was corrected meanwhile and what was
// deleted. What had left either arrives or does not: the org must end as if nothing had been.
func TestKilledWithCallsUnderWay(t *testing.T) {
	t.Parallel()
	steps := killedAt(t, 0, false)
	seen := map[string]int{}
	for i, step := range steps {
		seen[step]++
		for _, arrives := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-%d-arrives-%v", step, seen[step], arrives), func(t *testing.T) {
				t.Parallel()
				killedAt(t, i+1, arrives)
			})
		}
	}
	for _, step := range []string{"page-read", "page-stored", "resolved", "resolution-stored", "placed", "placement-stored", "intent-stored", "answered", "outcome-stored"} {
		if seen[step] == 0 {
			t.Errorf("no call was under way at %s: nothing is proved of it", step)
		}
	}
}

// killedAt plays the cycle and gives the steps that were made while calls were under way.
// The process dies at the n-th of them; 0 is never.
func killedAt(t *testing.T, n int, arrives bool) (steps []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, orgsim.Config{PageSize: 2})
		w.acting, w.sentOn = true, arrives
		w.settings.RetractDelete = true
		w.addEvent(simView("somebody", "https://www.shop.example/p1", ""))
		time.Sleep(time.Hour)
		at := time.Now().Add(-time.Minute).Truncate(time.Second)
		ids := w.depart(func(ids []string) {
			w.correct(ids[0], at)
			w.remove(ids[1])
			w.dieIf = func(step string) bool {
				if w.wire.locks.underWay() < 2 {
					return false
				}
				steps = append(steps, step)
				return len(steps) == n
			}
		})
		if w.died != min(n, 1) {
			t.Errorf("the process died %d times", w.died)
		}
		w.dieIf = nil
		w.org.ClearFaults()
		w.later(time.Hour)
		w.mustBeAtRest()
		w.mustBeCorrected(ids[0], at)
		w.mustNotStand(ids[1])
		w.mustStand(ids[2:]...)
		w.mustWriteNothing()
		if problems, err := w.store.Check(); err != nil || len(problems) > 0 {
			t.Errorf("store: %v %v", problems, err)
		}
	})
	return steps
}
