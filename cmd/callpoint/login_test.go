package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

// A refused login is not repeated by the next run of a program that cron starts: the user
// would be locked out. check logs in all the same, and its success ends the wait, as
// parked retry does.
func TestRefusedLoginOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.syncOnce()
	b.org.Fault(orgsim.Fault{Op: orgsim.OpLogin, Status: 400, Code: "invalid_grant", Message: "authentication failure", Times: -1})
	before := b.orgStats().Requests
	for range 4 {
		_, errs, code := b.run("--sync-once")
		if code != exitFailed || !strings.Contains(errs, "invalid_grant") || !strings.Contains(errs, "does not log in before") {
			t.Fatalf("exit %d: %s", code, errs)
		}
	}
	if n := b.orgStats().Requests - before; n != 1 {
		t.Errorf("%d requests in 4 runs, want 1 login", n)
	}
	if out, _, code := b.run("check"); code == exitDone || strings.Contains(out, "does not log in before") || !strings.Contains(out, "invalid_grant") {
		t.Errorf("check: exit %d: %s", code, out)
	}
	b.org.ClearFaults()
	if _, errs, code := b.run("--sync-once"); code != exitFailed {
		t.Errorf("within the pause: exit %d: %s", code, errs)
	}
	b.run("check")
	b.syncOnce()
}

// orgStats is what the org was asked so far.
func (b *bench) orgStats() (s orgsim.Stats) {
	b.t.Helper()
	resp, err := http.Get(b.url + "/sim/stats")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		b.t.Fatal(err)
	}
	return s
}
