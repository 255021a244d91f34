package engine_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A simPlant is a mistake that can be made in one place: what stands there, and what
// stands there instead when the mistake is planted.
type simPlant struct {
	scenario string // that must catch it
	file     string
	old, new string
}

// simPlants are the mistakes. The mutated files are compiled once; the environment says
// which of them is alive, so that the same program with none is the control.
var simPlants = map[string]simPlant{
	"cursor before rows": {"die-at-page-read", "poll.go", `	e.step("page-read")`,
		`	if planted("cursor before rows") {
		if _, err := e.cfg.Store.ApplyTasks(ctx, nil, next); err != nil {
			return err
		}
	}
	e.step("page-read")`},
	"strict bound": {"ties-across-pages", "poll.go", `	q.WriteString(" ORDER BY SystemModstamp, Id")`,
		`	if planted("strict bound") {
		strict := strings.ReplaceAll(q.String(), "SystemModstamp >=", "SystemModstamp >")
		q.Reset()
		q.WriteString(strict)
	}
	q.WriteString(" ORDER BY SystemModstamp, Id")`},
	"no overlap": {"late-row", "poll.go", `	behind := r.asked.Add(-e.cfg.Overlap)`,
		`	behind := r.asked.Add(-e.cfg.Overlap)
	if planted("no overlap") {
		behind = r.asked
	}`},
	"span ends with the cursor": {"narrow-spans", "poll.go", `			r.from = until`,
		`			r.from = until
			if planted("span ends with the cursor") {
				r.from = r.cursor.Since
			}`},
	"stamp for a hash": {"edited-twice-in-a-second", "task.go", `	sum := sha256.Sum256(b)`,
		`	if planted("stamp for a hash") {
		b, _ = json.Marshal(r["SystemModstamp"])
	}
	sum := sha256.Sum256(b)`},
	"no intent": {"die-before-outcome", "../../store/attempts.go", `			if err := tx.Put(bSending, key, s.sendMark(&now)); err != nil {`,
		`			if planted("no intent") {
				continue
			}
			if err := tx.Put(bSending, key, s.sendMark(&now)); err != nil {`},
	"hash before the write": {"back-to-what-was-lost", "../../store/touchpoints.go", `		t.Sent, t.WrittenHash = true, ""`,
		`		t.Sent, t.WrittenHash = true, ""
		if planted("hash before the write") {
			t.WrittenHash = t.Hash
		}`},
	"outcome lost": {"nothing-new", "../../store/attempts.go", `		t.WrittenHash, t.WrittenAt, t.Attempts, t.Code, t.Message = o.Hash, now, 0, "", ""`,
		`		if planted("outcome lost") {
			return nil
		}
		t.WrittenHash, t.WrittenAt, t.Attempts, t.Code, t.Message = o.Hash, now, 0, "", ""`},
	"equal content sent": {"equal-content", "../../store/commit.go", `	if known && old.Hash == t.Hash && (!old.Delete || old.Nobody) {`,
		`	if planted("equal content sent") && old.State == Written {
		old.Hash, old.WrittenHash = "", ""
	}
	if known && old.Hash == t.Hash && (!old.Delete || old.Nobody) {`},
	"retry forgotten": {"locked-row", "../../store/attempts.go", `			t.Attempts = o.Attempt
		}
	}`, `			t.Attempts = o.Attempt
		}
	}
	if planted("retry forgotten") && t.State == Retrying {
		t.State = Unchanged
	}`},
	"generation ignored": {"event-during-resolve", "../../store/commit.go", `	if !bytes.Equal(tx.Get(bDirty, key), generation(r.Journey.Generation)) {`,
		`	if !bytes.Equal(tx.Get(bDirty, key), generation(r.Journey.Generation)) && !planted("generation ignored") {`},
	"wake lost": {"hold-ends", "../../store/commit.go", `	if !r.Result.Wake.IsZero() {`,
		`	if !r.Result.Wake.IsZero() && !planted("wake lost") {`},
	"late event not resolved": {"late-event", "../../store/events.go", `	return markDirty(a.tx, a.visitor)
}`, `	if planted("late event not resolved") {
		return nil
	}
	return markDirty(a.tx, a.visitor)
}`},
	"one visitor of two": {"id-corrected", "../../store/calls.go", `			if err := markDirty(tx, was); err != nil {`,
		`			if planted("one visitor of two") {
				// the visitor that the call was taken from
			} else if err := markDirty(tx, was); err != nil {`},
	"delete forgotten": {"task-deleted", "../../store/calls.go", `	journey := JourneyKey(c.Visitor, c.TaskID)
	if known {`, `	if planted("delete forgotten") {
		c.Deleted = false
	}
	journey := JourneyKey(c.Visitor, c.TaskID)
	if known {`},
	"two writers with the same parent": {"few-people", "choose.go", `func(parent string) bool { return w.busy[parent] })`,
		`func(parent string) bool { return w.busy[parent] && !planted("two writers with the same parent") })`},
	"cursor behind the last span only": {"late-row-in-spans", "poll.go", `	if r.asked.IsZero() {`,
		`	if r.asked.IsZero() || planted("cursor behind the last span only") {`},
	"left asked for in the last span only": {"left-before-spans", "left.go", `since.Before(r.from) {`,
		`since.Before(r.from) && !planted("left asked for in the last span only") {`},
	"taken for ever": {"corrected-on-its-way", "deliver.go", `			delete(w.taken, t.Key) // what is due still is read anew`,
		`			if !planted("taken for ever") {
				delete(w.taken, t.Key)
			}`},
	"changed, and taken for ever": {"corrected-before-it-left", "deliver.go", `		if gone {
			delete(w.taken, t.Key)
		} else {`, `		if gone && planted("changed, and taken for ever") {
			return true
		} else if gone {
			delete(w.taken, t.Key)
		} else {`},
	"outcome of what was": {"corrected-on-its-way", "../../store/attempts.go", `	current := old.Hash == o.Hash && old.Delete == o.Delete`,
		`	current := (old.Hash == o.Hash || planted("outcome of what was")) && (old.Delete == o.Delete || planted("refused and so not deleted"))`},
	"sent as it was read": {"deleted-before-it-left", "../../store/attempts.go", `				changed = append(changed, t.Key)
				continue`, `				if !planted("sent as it was read") {
					changed = append(changed, t.Key)
				}
				continue`},
	"sent twice at once": {"corrected-on-its-way", "writer.go", `func(key string) bool { return w.taken[key] })`,
		`func(key string) bool { return w.taken[key] && !planted("sent twice at once") })`},
	"deleted beside the writing": {"person-of-a-deleted-record", "writer.go", `			case rest && w.open == 0 && len(w.deletes) > 0:`,
		`			case rest && (w.open == 0 || planted("deleted beside the writing")) && len(w.deletes) > 0:`},
	"deleted as it was read": {"wanted-again-before-it-was-deleted", "writer.go", `bool { return slices.Contains(changed, t.Key) })`,
		`bool { return slices.Contains(changed, t.Key) && !planted("deleted as it was read") })`},
	"cursor over the page on its way": {"ties-across-pages", "poll.go", `	if page.Next != "" && len(page.Records) > 0 {
		var ok bool`, `	if page.Next != "" && !planted("cursor over the page on its way") {
		var ok bool`},
	"page of a stopped poll": {"stopped-between-pages", "poll.go", `		return func() { n.page, n.err, n.here = page, err, true }`,
		`		return func() {
			n.page, n.err, n.here = page, err, true
			if cursor, _, _ := w.e.cfg.Store.Cursor(); planted("page of a stopped poll") && ctx.Err() != nil && err == nil {
				_ = w.e.applyPage(context.WithoutCancel(ctx), &reader{src: w.e.sources[0], cursor: cursor, asked: w.e.now()}, page, time.Time{}, w.summary)
			}
		}`},
	"answer lost at the stop": {"answer-at-the-stop", "deliver.go", `context.WithTimeout(context.WithoutCancel(ctx), recordWithin)`,
		`context.WithTimeout(map[bool]context.Context{true: ctx, false: context.WithoutCancel(ctx)}[planted("answer lost at the stop")], recordWithin)`},
	"nobody waits": {"poll-fails-meanwhile", "cycle.go", `		w.land()
		return err`, `		if !planted("nobody waits") {
			w.land()
		}
		return err`},
	"asks on and on": {"no-more-calls-says-a-row", "deliver.go", `	if r.stopped != nil {`, `	if r.stopped != nil && !planted("asks on and on") {`},
	"refused and so not deleted": {"refused-and-deleted-on-its-way", "../../store/attempts.go", `	case current:
		t.State`, `	case current:
		// planted above
		t.State`},
	"a person's other visitor not marked": {"earlier-session-of-the-other-id", "people.go", `f.Writes && (changed || p.Journey.IsMarked(&f)) {`,
		`f.Writes && (changed && !planted("a person's other visitor not marked") || p.Journey.IsMarked(&f)) {`},
	"the person that lost a call not marked": {"call-of-somebody-else", "../../store/people.go", `	if err := dropFact(tx, old.Person, journey, key); err != nil || !old.Forgotten {`,
		`	if planted("the person that lost a call not marked") {
		return tx.Delete(bPeople, factKey(old.Person, journey, key))
	}
	if err := dropFact(tx, old.Person, journey, key); err != nil || !old.Forgotten {`},
	"a conversion not followed": {"lead-converted", "../../store/naming.go", `		if ok && c.Person == lead {`,
		`		if ok && c.Person == lead && !planted("a conversion not followed") {`},
	"counts per visitor": {"two-cookies", "../../store/people.go", `		p.Followed = len(p.IDs()) <= mapping.MaxVisitors
		return p, err`, `		p.Followed = len(p.IDs()) <= mapping.MaxVisitors && !planted("counts per visitor")
		return p, err`},
	"busy person remembered": {"person-locked-at-conversion", "persons.go", `		if busy[who] != nil {`,
		`		if busy[who] != nil && !planted("busy person remembered") {`},
}

// TestPlantedMistakesAreCaught: each scenario fails for the mistake that it was built for,
// and passes without it.
func TestPlantedMistakesAreCaught(t *testing.T) {
	if testing.Short() || simRace {
		t.Skip("compiles the engine anew; the tests without -race and -short do that")
	}
	t.Parallel()
	dir := t.TempDir()
	overlay := map[string]string{}
	place := func(path, text string) {
		mutated := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, "../"), "/", "_"))
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		overlay[abs] = mutated
	}
	files := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(simPlants)) {
		p := simPlants[name]
		if files[p.file] == "" {
			b, err := os.ReadFile(p.file)
			if err != nil {
				t.Fatal(err)
			}
			files[p.file] = string(b)
		}
		if strings.Count(files[p.file], p.old) != 1 {
			t.Fatalf("%s: %s does not hold once what is to be spoilt: the code changed, plant the mistake where it belongs now:\n%s", name, p.file, p.old)
		}
		files[p.file] = strings.Replace(files[p.file], p.old, p.new, 1)
	}
	for path, text := range files {
		place(path, text)
	}
	const switchOn = "\n\nimport \"os\"\n\nfunc planted(name string) bool { return os.Getenv(\"PLANTED\") == name }\n"
	place("planted.go", "package engine"+switchOn)
	place("../../store/planted.go", "package store"+switchOn)
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	spoilt := filepath.Join(dir, "spoilt.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", spoilt, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(planted, scenario string) (string, error) {
		c := exec.Command(spoilt, "-test.run", "^TestScenario$/^"+scenario+"$", "-test.v")
		c.Env = append(os.Environ(), "PLANTED="+planted)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run("", "[^/]+"); err != nil || strings.Count(out, "--- PASS: TestScenario/") != len(simScenarios) {
		t.Fatalf("control: nothing is planted, and yet: %v\n%s", err, out)
	}
	for name, p := range simPlants {
		if out, err := run(name, p.scenario); err == nil || !strings.Contains(out, "--- FAIL: TestScenario/"+p.scenario) {
			t.Errorf("%s: the scenario %s does not catch it: %v\n%s", name, p.scenario, err, out)
		}
	}
}
