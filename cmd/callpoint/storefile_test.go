package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callpoint/store"
)

// visitors lists whom a store file holds.
func visitors(t *testing.T, path string) (all []string) {
	t.Helper()
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.EachVisitor(func(j store.Journey) bool { all = append(all, j.Visitor); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

// until asks for a path until it answers with a status.
func (d *running) until(path string, status int) {
	d.b.t.Helper()
	deadline := time.After(30 * time.Second) // of a machine that is busy; seconds otherwise
	for {
		got, answer := d.request(http.MethodGet, path, nil)
		if got == status {
			return
		}
		select {
		case <-deadline:
			d.b.t.Fatalf("%s answers %d %s, want %d", path, got, answer, status)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// While the store's name leads to no file, or to another one, no event is acknowledged,
// readyz fails, and what the open file holds can be saved.
func TestStoreRemovedUnderTheDaemon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, path string)
	}{
		{"removed", func(*testing.T, string) {}},
		{"replaced", func(t *testing.T, path string) {
			s, err := store.Open(path, store.Options{})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			d := b.daemon()
			d.send(view("before", yesterday("12:00:00"), "https://www.example.com/", ""))
			d.until("/readyz", http.StatusOK)
			aside := b.store + ".aside"
			if err := os.Rename(b.store, aside); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, b.store)
			began := time.Now()
			event := view("while-away", yesterday("12:01:00"), "https://www.example.com/", "")
			if status, answer := d.request(http.MethodPost, "/v1/events", event); status != http.StatusServiceUnavailable {
				t.Errorf("POST /v1/events: %d %s", status, answer)
			}
			d.until("/readyz", http.StatusServiceUnavailable)
			t.Logf("/readyz failed after %s", time.Since(began).Round(10*time.Millisecond))
			d.until("/healthz", http.StatusServiceUnavailable)
			if status, _ := d.request(http.MethodGet, "/livez", nil); status != http.StatusOK {
				t.Errorf("/livez: %d", status)
			}
			status, copied := d.request(http.MethodPost, "/v1/store/backup", map[string]string{"path": "/nowhere"})
			saved := tempFile(t, "saved.db", copied)
			if status != http.StatusOK || !slices.Contains(visitors(t, saved), "before") {
				t.Errorf("backup of the open file: %d", status)
			}
			if err := os.Rename(aside, b.store); err != nil {
				t.Fatal(err)
			}
			d.until("/readyz", http.StatusOK)
			d.send(event)
			d.stop()
			if all := visitors(t, b.store); !slices.Contains(all, "before") || !slices.Contains(all, "while-away") {
				t.Errorf("the store holds %q", all)
			}
		})
	}
}

// A backup is whole or not there, replaces no file without --force, and never the store,
// by whatever path it is named, nor anything that is not a regular file.
func TestBackupTargets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inStore(func(s *store.Store) {})
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	precious := path("precious")
	if err := errors.Join(
		os.WriteFile(precious, []byte("precious"), 0o600),
		os.Symlink(precious, path("link")),
		os.Symlink(path("nothing"), path("dangling")),
		os.Symlink(b.store, path("store-link")),
		os.Mkdir(path("folder"), 0o700),
		syscall.Mkfifo(path("fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file   string
		force  bool
		refuse string // empty: it is written
	}{
		{path("new.db"), false, ""},
		{path("new.db"), false, "exists"},
		{path("new.db"), true, ""},
		{precious, false, "exists"},
		{path("link"), false, "exists"},
		{path("link"), true, "not a regular file"},
		{path("dangling"), true, "not a regular file"},
		{path("folder"), true, "not a regular file"},
		{path("fifo"), true, "not a regular file"},
		{b.store, true, "is the store itself"},
		{path("store-link"), true, "is the store itself"},
		{filepath.Join(dir, "no-such-folder", "x.db"), false, "no-such-folder"},
	} {
		args := []string{"store", "backup", c.file}
		if c.force {
			args = append(args, "--force")
		}
		_, errs, code := b.run(args...)
		if c.refuse == "" && code != exitDone || c.refuse != "" && (code != exitFailed || !strings.Contains(errs, c.refuse)) {
			t.Errorf("%v: exit %d, want %q\n%s", args, code, c.refuse, errs)
		}
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("%s holds %q: %v", precious, text, err)
	}
	if fi, err := os.Stat(path("new.db")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v %v", fi, err)
	}
	if parts, _ := filepath.Glob(path(".*")); len(parts) > 0 {
		t.Errorf("left behind: %q", parts)
	}
}

// A restore is a verified copy with the store's owner and mode; the old store stays beside
// it. Nothing that cannot be verified, is another org's, or is in use is restored.
func TestRestore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	d := b.daemon()
	d.send(view("first", yesterday("12:00:00"), "https://www.example.com/", ""))
	d.sync()
	d.stop()
	if _, errs, code := b.run("store", "backup", backup); code != exitDone {
		t.Fatal(errs)
	}
	d = b.daemon()
	d.send(view("second", yesterday("12:00:00"), "https://www.example.com/", ""))
	if _, errs, code := b.run("store", "restore", backup); code != exitFailed || !strings.Contains(errs, "stop") {
		t.Errorf("under a running daemon: exit %d\n%s", code, errs)
	}
	d.stop()
	if err := os.Chmod(b.store, 0o640); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(b.store, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}

	content, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	other.env = append(other.env, "SALESFORCE_DOMAIN="+b.url)
	for name, bad := range map[string]string{
		"cut short":  tempFile(t, "cut.db", content[:len(content)/2]),
		"no store":   tempFile(t, "text.db", []byte(strings.Repeat("no store\n", 10_000))),
		"not there":  filepath.Join(t.TempDir(), "none.db"),
		"itself":     b.store,
		"no regular": t.TempDir(),
	} {
		if _, errs, code := b.run("store", "restore", bad); code != exitFailed || !strings.Contains(errs, bad) {
			t.Errorf("%s: exit %d\n%s", name, code, errs)
		}
	}
	if all := visitors(t, b.store); len(all) != 2 {
		t.Fatalf("a refused restore changed the store: %q", all)
	}

	out, errs, code := b.run("store", "restore", backup)
	if code != exitDone || !strings.Contains(out, ".replaced-") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if all := visitors(t, b.store); !slices.Equal(all, []string{"first"}) {
		t.Errorf("restored: %q", all)
	}
	fi, err := os.Stat(b.store)
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	if fi.Mode().Perm() != 0o640 || root && (st.Uid != 12345 || st.Gid != 12345) {
		t.Errorf("mode %v, owner %d:%d", fi.Mode(), st.Uid, st.Gid)
	}
	old, err := filepath.Glob(b.store + ".replaced-*")
	if err != nil || len(old) != 1 {
		t.Fatalf("beside the store: %q %v", old, err)
	}
	if all := visitors(t, old[0]); len(all) != 2 {
		t.Errorf("the old store holds %q", all)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(b.store), ".callpoint-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if out, errs, code := b.run("forget", "first"); code != exitDone || !strings.Contains(out+errs, old[0]) {
		t.Errorf("forget does not name the old store: exit %d\n%s%s", code, out, errs)
	}
	// Where nothing is there a restore makes it.
	if err := os.Remove(b.store); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := b.run("store", "restore", backup); code != exitDone {
		t.Errorf("without a store: exit %d\n%s", code, errs)
	}
}

// A backup of another org's store is not restored over this one.
func TestRestoreOfAnotherOrg(t *testing.T) {
	t.Parallel()
	a, b := newBench(t), newBench(t)
	for i, org := range []*bench{a, b} {
		org.inStore(func(s *store.Store) {
			if err := s.Pin(t.Context(), []string{"00D000000000001AAA", "00D000000000002AAA"}[i]); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, errs, code := b.run("store", "restore", a.store); code != exitFailed || !strings.Contains(errs, "belongs to another org") {
		t.Errorf("exit %d\n%s", code, errs)
	}
}

// Commands that root runs leave nothing that the daemon's user cannot open.
func TestRootKeepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	b := newBench(t)
	owned := func(when string) {
		t.Helper()
		fi, err := os.Stat(b.store)
		if err != nil {
			t.Fatal(err)
		}
		if st := fi.Sys().(*syscall.Stat_t); st.Uid != 12345 || st.Gid != 12345 {
			t.Errorf("after %s the store belongs to %d:%d", when, st.Uid, st.Gid)
		}
	}
	if err := os.Chown(filepath.Dir(b.store), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	file := tempFile(t, "events.ndjson", importLines(8))
	if _, errs, code := b.run("import", file); code != exitDone {
		t.Fatal(errs)
	}
	owned("import")
	for _, args := range [][]string{{"store", "compact"}, {"forget", "9e3779b1"}, {"--sync-once"}} {
		if _, errs, code := b.run(args...); code != exitDone {
			t.Errorf("%v: exit %d\n%s", args, code, errs)
		}
		owned(strings.Join(args, " "))
	}
}

// A store file that is cut to nothing under the daemon ends the process with a clear word
// and a status that systemd restarts. Before, requests never ended.
func TestFaultEndsTheDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view("before", yesterday("12:00:00"), "https://www.example.com/", ""))
	if err := os.Truncate(b.store, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(b.store) }) // nothing is left to check
	go func() {
		resp, err := d.client.Post(d.url+"/v1/events", "application/json", strings.NewReader(`{"type":"view","bizible_id":"x","at":"`+time.Now().UTC().Format(time.RFC3339)+`","url":"https://www.example.com/"}`))
		if err == nil {
			resp.Body.Close()
		}
	}()
	select {
	case <-d.done:
	case <-time.After(time.Minute):
		t.Fatal("the process goes on")
	}
	ws := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.ExitStatus() != exitFailed || !restarted(ws, unitStatuses(t)) || !strings.Contains(d.logs.String(), "cut short while it is in use") {
		t.Errorf("exit %d\n%s", ws.ExitStatus(), d.logs)
	}
}
