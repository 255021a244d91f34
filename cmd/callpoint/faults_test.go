package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"

	"github.com/google/go-cmp/cmp"
)

// needStrace skips where calls of the kernel cannot be made to fail.
func needStrace(t *testing.T) {
	t.Helper()
	if err := exec.Command("strace", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("no proof: strace does not work here: %v", err)
	}
}

// straced is the program with some of its calls failing. GOMAXPROCS=1, because strace
// counts by thread: the n-th call of a thread is not always the same one of the program,
// but over all n every one gets its turn.
func (b *bench) straced(inject, log string, args ...string) *exec.Cmd {
	name, _, _ := strings.Cut(inject, ":")
	all := append([]string{"-f", "-qq", "-o", log, "-e", "trace=" + name, "-e", "inject=" + inject, os.Args[0]}, args...)
	c := exec.CommandContext(b.t.Context(), "strace", all...)
	c.Env = append(b.env, "GOMAXPROCS=1")
	return c
}

// seedFile fills a store without a daemon, and the org with the calls that belong to it.
func (b *bench) seedFile() (tasks []string) {
	b.t.Helper()
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	for i := range 3 {
		v := fmt.Sprintf("fault-%d", i)
		e := mapping.Event{Kind: mapping.View, Visitor: v, At: yesterday("12:00:00"), URL: "https://www.example.com/", Referrer: "https://www.google.com/"}
		if _, err := s.Add(b.t.Context(), []mapping.Event{e}, nil); err != nil {
			b.t.Fatal(err)
		}
		tasks = append(tasks, b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": v}))
	}
	return tasks
}

// TestEveryIOMayFail lets the n-th write or sync of a cycle fail, or be the last thing
// that the process does, for every n up to the last. Whatever happens, there is no panic,
// a success that is reported is one, and the next run puts everything right.
func TestEveryIOMayFail(t *testing.T) {
	t.Parallel()
	needStrace(t)
	every := proofCycles(t, "FAULTS_ALL", 0) > 0
	calm := newBench(t)
	calm.seedFile()
	calm.syncOnce()
	want := calm.standing()
	for _, call := range []string{"pwrite64", "fdatasync"} {
		for _, fault := range []string{"error=EIO", "error=ENOSPC", "signal=KILL"} {
			t.Run(call+" "+fault, func(t *testing.T) {
				t.Parallel()
				n, step := 1, 1
				for ; ; n += step {
					if !every && n > 3 {
						step = n / 2 // 1 2 3 4 6 9 13 19 28 ...
					}
					if !failIO(t, want, call, fault, n) {
						break
					}
				}
				t.Logf("the last %s that was reached is below the %d-th", call, n)
				if n == 1 {
					t.Error("no call failed: nothing is proved")
				}
			})
		}
	}
}

// failIO makes one run with the n-th call failing, and one after it. It reports whether
// there was an n-th call.
func failIO(t *testing.T, want []map[string]any, call, fault string, n int) (reached bool) {
	t.Helper()
	b := newBench(t)
	tasks := b.seedFile()
	log := filepath.Join(t.TempDir(), "strace")
	c := b.straced(fmt.Sprintf("%s:%s:when=%d", call, fault, n), log, "--sync-once")
	var errs bytes.Buffer
	c.Stderr = &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	traced, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	killed := exit != nil && exit.Sys().(syscall.WaitStatus).Signaled()
	if !killed && !bytes.Contains(traced, []byte("(INJECTED)")) {
		return false
	}
	if s := errs.String(); strings.Contains(s, "panic") || strings.Contains(s, "goroutine ") {
		t.Errorf("%s %s, n=%d: %s", call, fault, n, s)
	}
	if exit == nil {
		b.oneEach(tasks) // it said that all is done
	}
	b.syncOnce()
	b.oneEach(tasks)
	if diff := cmp.Diff(want, b.standing()); diff != "" {
		t.Errorf("%s %s, n=%d: the org differs (-calm +failed):\n%s", call, fault, n, diff)
	}
	if s := b.syncOnce(); s.TouchpointsWritten != 0 {
		t.Errorf("%s %s, n=%d: the run after that wrote %d touchpoints", call, fault, n, s.TouchpointsWritten)
	}
	return true
}

// TestNoFalseAcknowledgement lets the disk fail under the collector: what was answered
// 200 is in the store that the process leaves behind.
func TestNoFalseAcknowledgement(t *testing.T) {
	t.Parallel()
	needStrace(t)
	most := proofCycles(t, "FAULTS_ALL", 0)*34 + 6
	failed := 0
	for n := 1; n <= most; n++ {
		for _, inject := range []string{"fdatasync:error=EIO", "pwrite64:error=EIO", "pwrite64:error=ENOSPC"} {
			b := newBench(t)
			b.seedFile()
			d := b.start(b.straced(fmt.Sprintf("%s:when=%d+", inject, n), filepath.Join(t.TempDir(), "strace")))
			var l load
			for range 30 {
				e := l.event()
				status, _ := d.request(http.MethodPost, "/v1/events", e)
				switch status {
				case http.StatusOK:
					l.acked = append(l.acked, e)
				case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
					failed++
				default:
					t.Errorf("%s n=%d: a disk that fails is answered with %d", inject, n, status)
				}
			}
			d.killGroup()
			b.verify(l.acked)
		}
	}
	t.Logf("%d events were refused because the disk failed", failed)
	if failed == 0 {
		t.Error("nothing failed: nothing is proved")
	}
}

// mountAt mounts for the length of the test; without the right to it, the test is skipped.
func mountAt(t *testing.T, dir string, args ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("no proof: mounting needs root")
	}
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("no proof: mount %v: %v %s", args, err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

// TestFullDisk fills the disk under the daemon, and makes room again: the collector says
// so, /readyz is off, old data is whole, and nobody has to restart anything.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mountAt(t, dir, "-t", "tmpfs", "-o", "size=3m", "none")
	b := newBench(t, "CALLPOINT_STORE_FREE_FLOOR=0")
	b.store = filepath.Join(dir, "callpoint.db")
	b.env = append(b.env, "CALLPOINT_STORE="+b.store)
	d := b.daemon()
	var l load
	status := 0
	for range 5000 {
		e := l.event()
		e["url"] = fmt.Sprint(e["url"], "?", strings.Repeat("x", 1500))
		if status, _ = d.request(http.MethodPost, "/v1/events", e); status != http.StatusOK {
			break
		}
		l.acked = append(l.acked, e)
	}
	if status != http.StatusInsufficientStorage {
		t.Fatalf("a full disk is answered with %d, want 507; %d events were taken", status, len(l.acked))
	}
	ready := func() bool { status, _ := d.request(http.MethodGet, "/readyz", nil); return status == http.StatusOK }
	waitFor(t, "/readyz to fail", func() bool { return !ready() })
	if status, _ := d.request(http.MethodGet, "/livez", nil); status != http.StatusOK {
		t.Errorf("/livez: %d: a restart makes no room", status)
	}
	if out, err := exec.CommandContext(context.Background(), "mount", "-o", "remount,size=64m", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	began := time.Now()
	e := l.event()
	waitFor(t, "an event to be taken again", func() bool {
		status, _ := d.request(http.MethodPost, "/v1/events", e)
		return status == http.StatusOK
	})
	l.acked = append(l.acked, e)
	waitFor(t, "/readyz to be well again", ready)
	t.Logf("%d events until the disk was full; well again %s after there was room", len(l.acked)-1, time.Since(began).Round(time.Millisecond))
	d.stop()
	b.verify(l.acked)
}
