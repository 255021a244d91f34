package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/store"

	"github.com/google/go-cmp/cmp"
)

// retention is one so short that what happened before cut is over.
func (b *bench) retention(cut time.Time) string {
	return "CALLPOINT_RETENTION=" + time.Since(cut).Truncate(time.Second).String()
}

// Retention drops events, and never un-matches a call: what stands in the org stays as it
// is, and a changed Task is mapped from what the call was matched with.
func TestRetentionNeverUnmatches(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	at := yesterday("12:00:00")
	d.send(
		view(visitorA, at, "https://www.example.com/?utm_source=google&utm_medium=cpc&utm_campaign=spring", "https://www.google.com/"),
		view(visitorA, at.Add(3*time.Hour), "https://www.example.com/late", ""),
	)
	matched := b.task(at.Add(10*time.Minute), map[string]any{"bizible2__BizibleId__c": visitorA})
	outside := b.task(at.Add(time.Hour), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	before := b.standing()
	d.stop()

	// Between the two sessions: the first goes, the second stays.
	b.env = append(b.env, b.retention(at.Add(2*time.Hour)))
	b.unmaintained()
	b.syncOnce()
	b.inStore(func(s *store.Store) {
		j, err := s.Journey(visitorA)
		if err != nil {
			t.Fatal(err)
		}
		if len(j.Events) != 1 || j.PrunedBefore.IsZero() || j.PrunedSessions != 1 {
			t.Fatalf("%d events, %d sessions pruned before %s: the test tests nothing", len(j.Events), j.PrunedSessions, j.PrunedBefore)
		}
	})
	if s := b.syncOnce(); s.TouchpointsWritten != 0 {
		t.Errorf("after pruning %d touchpoints were written", s.TouchpointsWritten)
	}
	if diff := cmp.Diff(before, b.standing()); diff != "" {
		t.Errorf("pruning changed the org (-before +after):\n%s", diff)
	}
	// The Task changes: same session, same position, new type.
	for _, id := range []string{matched, outside} {
		b.update(id, map[string]any{"Type": "Support Call"})
	}
	if s := b.syncOnce(); s.Matched != 1 || s.TouchpointsWritten != 2 {
		t.Errorf("after the change: %+v", s)
	}
	b.expect(matched, map[string]any{"Touchpoint_Type": "Support Call", "Ad_Campaign_Name": "spring", "Touchpoint_Position": "FT, LC", "Count_First_Touch": 1})
	b.expect(outside, map[string]any{"Touchpoint_Type": "Support Call", "Touchpoint_Source": "CRM Activity", "Touchpoint_Position": "PostLC"})

	// What comes too late for the line that was drawn is left out.
	b.env = slices.DeleteFunc(b.env, func(kv string) bool { return strings.HasPrefix(kv, "CALLPOINT_RETENTION=") })
	d = b.daemon()
	d.send(view(visitorA, at.Add(time.Minute), "https://www.example.com/too-late", ""))
	if s := d.sync(); s.TouchpointsWritten != 0 {
		t.Errorf("an event from before the line wrote %d touchpoints", s.TouchpointsWritten)
	}
	d.stop()
}

// unmaintained makes the next run prune.
func (b *bench) unmaintained() {
	b.t.Helper()
	b.inStore(func(s *store.Store) {
		if err := s.DropState(context.Background(), "maintained"); err != nil {
			b.t.Fatal(err)
		}
	})
}

func (b *bench) inStore(fn func(*store.Store)) {
	b.t.Helper()
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	fn(s)
	if err := s.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// A visitor with a call that Salesforce refuses keeps the events until it is settled.
func TestRetentionWaitsForOpenCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	at := yesterday("12:00:00")
	d.send(view(visitorA, at, "https://www.example.com/", ""))
	b.task(at.Add(time.Minute), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.stop()
	b.syncOnce()
	b.inStore(func(s *store.Store) { // as if the org had refused it
		_, tp, err := s.Call(b.org.Records("Task")[0]["Id"].(string))
		if err != nil || tp == nil {
			t.Fatalf("%v %v", tp, err)
		}
		err = s.Finish(context.Background(), time.Now(), []store.Outcome{{Key: tp.Key, Hash: tp.Hash, State: store.Parked, Next: time.Now().Add(time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
	})
	b.env = append(b.env, b.retention(at.Add(time.Hour)))
	b.unmaintained()
	if _, errs, code := b.run("--sync-once"); code != exitParked {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	b.countEvents(1, 0)
}

func TestStoreCommandsWithAndWithoutTheDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_LISTEN=unix:"+filepath.Join(t.TempDir(), "s"))
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	for _, running := range []bool{true, false} {
		if !running {
			d.stop()
		}
		copied := filepath.Join(t.TempDir(), "copy.db")
		for _, c := range []struct {
			args []string
			says string
		}{
			{[]string{"store", "check"}, b.store + " is sound\n"},
			{[]string{"store", "check", "--output", "json"}, `{"problems":[]}` + "\n"},
			{[]string{"store", "compact"}, b.store + ": "},
			{[]string{"store", "backup", copied}, copied + ": "},
		} {
			out, errs, code := b.run(c.args...)
			if code != exitDone || !strings.Contains(out, c.says) {
				t.Errorf("daemon %v, %v: exit %d, said %q %q", running, c.args, code, out, errs)
			}
		}
		s, err := store.Open(copied, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := s.Journey(visitorA)
		problems, cerr := s.Check()
		if err != nil || cerr != nil || len(j.Events) != 1 || len(problems) != 0 {
			t.Errorf("the copy: %d events, %v %v %v", len(j.Events), problems, err, cerr)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := b.run("store", "backup", filepath.Join(t.TempDir(), "no", "copy.db")); code != exitFailed {
			t.Errorf("backup into no folder: exit %d %s", code, errs)
		}
	}
}

// forget leaves no byte of a visitor in the file, keeps the visitor out, leaves the org
// alone, and names the backups.
func TestForget(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		b := newBench(t, "CALLPOINT_LISTEN=unix:"+filepath.Join(t.TempDir(), "s"))
		d := b.daemon()
		const id = "odd/id %2f \u00e4-0123456789" // any character is allowed
		at := yesterday("12:00:00")
		page := "https://www.example.com/secret-page?utm_campaign=secret-campaign"
		d.send(view(id, at, page, "https://www.google.com/secret-referrer"), view(visitorA, at, "https://www.example.com/other", ""))
		d.session(id, at.Add(5*time.Hour), "https://www.example.com/secret-landing")
		call := b.task(at.Add(10*time.Minute), map[string]any{"bizible2__BizibleId__c": strings.ToUpper(id), "Description": "web visitor " + id})
		other := b.task(at.Add(10*time.Minute), map[string]any{"bizible2__BizibleId__c": visitorA})
		d.sync()
		b.expect(call, map[string]any{"Landing_Page": "www.example.com/secret-page"})
		before := b.records(touchpoints, persons)
		backup := filepath.Join(t.TempDir(), "backup.db")
		if _, errs, code := b.run("store", "backup", backup); code != exitDone {
			t.Fatal(errs)
		}
		traces := []string{id, strings.ToUpper(id), "secret-page", "secret-campaign", "secret-referrer", "secret-landing", url.QueryEscape(id)}
		for i, where := range []string{b.store, backup} {
			if !holds(t, where, "secret-page") {
				t.Fatalf("%d: nothing of the visitor is in %s before: the test tests nothing", i, where)
			}
		}
		if !running {
			d.stop()
		}
		out, errs, code := b.run("forget", id, "--output", "json")
		var e store.Erased
		if err := json.Unmarshal([]byte(out), &e); code != exitDone || err != nil {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		if e.Events != 1 || e.Visits != 1 || e.Calls != 1 || e.Touchpoints != 1 || len(e.Backups) != 1 || e.Backups[0].Path != backup {
			t.Errorf("forget found %+v", e)
		}
		for _, trace := range traces {
			if holds(t, b.store, trace) {
				t.Errorf("daemon %v: the file still holds %q", running, trace)
			}
		}
		if !running {
			d = b.daemon()
		}
		// Late events, and every change of the Task, leave it out and the org alone.
		d.send(view(id, at.Add(time.Minute), page, ""))
		b.update(call, map[string]any{"Subject": "changed"})
		again := b.task(at.Add(20*time.Minute), map[string]any{"bizible2__BizibleId__c": id})
		d.sync()
		if diff := cmp.Diff(before, b.records(touchpoints, persons)); diff != "" {
			t.Errorf("the org changed (-before +after):\n%s", diff)
		}
		for _, task := range []string{call, again} {
			if v := d.call(task); v.Reason != "no_bizible_id" || !strings.Contains(v.Detail, "erased") || v.BizibleID != "" {
				t.Errorf("call %s: %+v", task, v)
			}
		}
		if v := d.call(other); v.Reason != "matched" {
			t.Errorf("another visitor's call: %+v", v)
		}
		status, answer := d.request(http.MethodGet, "/v1/visitors/"+url.PathEscape(id), nil)
		if status != http.StatusNotFound {
			t.Errorf("GET of the visitor: %d %s", status, answer)
		}
		if status, _ := d.request(http.MethodDelete, "/v1/visitors/"+url.PathEscape(id), nil); status != http.StatusOK {
			t.Errorf("DELETE of the visitor, again: %d", status)
		}
		d.stop()
		for _, trace := range traces {
			if holds(t, b.store, trace) {
				t.Errorf("daemon %v: after late data the file holds %q", running, trace)
			}
		}
		if strings.Contains(d.logs.String(), "0123456789") {
			t.Errorf("the log names the visitor:\n%s", d.logs)
		}
	}
}

// What a kill cut off of an erasure is done by the next start, however lately the store was
// maintained.
func TestNextRunEndsAnErasure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.syncOnce()
	b.inStore(func(s *store.Store) {
		if err := s.SetState(t.Context(), "erased", time.Now().UTC()); err != nil {
			t.Fatal(err)
		}
	})
	b.syncOnce()
	b.inStore(func(s *store.Store) {
		if pending, err := s.ErasurePending(); pending || err != nil {
			t.Errorf("after a run the erasure is pending: %v, error %v", pending, err)
		}
	})
}

// session sends one finished session.
func (d *running) session(visitor string, at time.Time, landing string) {
	d.b.t.Helper()
	status, answer := d.request(http.MethodPost, "/v1/sessions", map[string]any{
		"session_id": "s1", "bizible_id": visitor, "started_at": at.Format(time.RFC3339), "ended_at": at.Add(time.Minute).Format(time.RFC3339), "landing_page": landing,
	})
	if status != http.StatusOK {
		d.b.t.Fatalf("POST /v1/sessions: %d %s", status, answer)
	}
}

// holds looks for a text in the bytes of a file.
func holds(t *testing.T, path, text string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(b, []byte(text))
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{"0": 0, "123": 123, "1KiB": 1024, "512 MiB": 512 << 20, "2gb": 2e9, "7B": 7, "1TiB": 1 << 40} {
		var got byteSize
		if err := got.EnvDecode(text); err != nil || got != want {
			t.Errorf("%q: %d %v, want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "MiB", "-1", "1.5GiB", "9999999999GiB", "1 XB", "99999999999999999999"} {
		if err := new(byteSize).EnvDecode(bad); err == nil {
			t.Errorf("%q is taken for a size", bad)
		}
	}
}
