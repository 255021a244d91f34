package engine_test

import (
	"fmt"
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// personStory lets calls be written, changed and moved, and a person be deleted by hand. It
// returns what is wrong in the end.
func personStory(r *rig) (problems []string) {
	a, b := r.lead("A"), r.lead("B")
	tasks := r.seen(4, func(int) string { return a })
	cycle := func() {
		if s, err := r.engine.Cycle(r.t.Context()); err != nil || s.Parked > 0 {
			problems = append(problems, fmt.Sprintf("cycle: %d parked, %v", s.Parked, err))
		}
		r.clock.advance(time.Minute)
	}
	check := func(when string, task, lead string) {
		rec := r.record(task)
		if rec == nil {
			problems = append(problems, when+": a record is missing")
			return
		}
		if p, _ := r.org.Get(person, fmt.Sprint(rec[personField])); p["bizible2__Lead__c"] != lead {
			problems = append(problems, when+": a record hangs from somebody else")
		}
		if t, _ := r.org.Get("Task", task); rec["bizible2__Touchpoint_Type__c"] != t["Type"] {
			problems = append(problems, when+": a record does not show its Task")
		}
	}
	all := func(when string, leads ...string) {
		for i, task := range tasks {
			check(when, task, leads[i])
		}
	}
	cycle()
	all("created", a, a, a, a)
	r.update("Task", tasks[0], map[string]any{"Type": "Meeting"})
	cycle()
	all("changed", a, a, a, a)
	r.update("Task", tasks[1], map[string]any{"WhoId": b})
	cycle()
	all("moved", a, b, a, a)
	if err := r.org.Delete(person, fmt.Sprint(r.hangs(tasks[0]))); err != nil {
		problems = append(problems, err.Error())
	}
	r.update("Task", tasks[0], map[string]any{"Type": "Other"})
	cycle()
	cycle()
	all("cascaded", a, b, a, a)
	return problems
}

// TestMistakesWithPersonsAreNoticed: the story passes, and fails for each mistake.
func TestMistakesWithPersonsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, mistake := range []string{"", "person sent on update", "person forgotten on create", "delete without create", "create before delete", "cascade not noticed"} {
		t.Run(mistake, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) {
				e.Mistake = func(name string) bool { return mistake != "" && name == mistake }
			})
			problems := personStory(r)
			if (len(problems) > 0) != (mistake != "") {
				t.Errorf("mistake %q: the story finds %q", mistake, problems)
			}
		})
	}
}
