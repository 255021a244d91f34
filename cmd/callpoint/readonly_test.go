package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestFileSystemFails takes the disk away under a daemon with load: ext4 finds an error and
// turns read-only, as it does on most machines, or answers nothing but EIO. From then on
// nothing is acknowledged, /readyz is off and says what to do, /livez is on, because a
// restart alone mends nothing. What was acknowledged before is there once the file system
// was mounted again, and a new daemon goes on.
func TestFileSystemFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]struct {
		do   func(*disk)
		says []string // any of them
	}{
		// A sync that was under way when it turned is answered with EIO.
		"read-only": {(*disk).turnReadOnly, []string{"read-only", "input/output error"}},
		"EIO":       {(*disk).cut, []string{"input/output error"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			b := newBench(t, "CALLPOINT_POLL_INTERVAL=1s", "CALLPOINT_STORE_FREE_FLOOR=0")
			b.store = filepath.Join(d.dir, "callpoint.db")
			b.env = append(b.env, "CALLPOINT_STORE="+b.store)
			p := b.daemon()
			var l load
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() { l.post(p.url, stop) })
			}
			waitFor(t, "a load", func() bool { return l.sent() > 200 })
			fail.do(d)
			ready := func() bool { status, _ := p.request(http.MethodGet, "/readyz", nil); return status == http.StatusOK }
			waitFor(t, "/readyz to fail", func() bool { return !ready() })
			_, why := p.request(http.MethodGet, "/readyz", nil)
			s := string(why)
			if !slices.ContainsFunc(fail.says, func(cause string) bool { return strings.Contains(s, cause) }) || !strings.Contains(s, "restart callpoint") {
				t.Errorf("/readyz says %q: that names no cause, or no cure", s)
			}
			if status, _ := p.request(http.MethodGet, "/livez", nil); status != http.StatusOK {
				t.Errorf("/livez: %d: a restart mends no disk", status)
			}
			if status, _ := p.request(http.MethodPost, "/v1/events", l.event()); status != http.StatusServiceUnavailable {
				t.Errorf("an event is answered with %d, want 503", status)
			}
			close(stop)
			clients.Wait()
			p.kill()
			d.restore()
			b.verify(l.acked)
			b.daemon().send(l.event())
			t.Logf("%d events acknowledged of %d sent; said %q", len(l.acked), l.sent(), strings.TrimSpace(string(why)))
		})
	}
}

// turnReadOnly makes ext4 meet an error.
func (d *disk) turnReadOnly() {
	d.t.Helper()
	device, err := exec.Command("findmnt", "-no", "SOURCE", d.dir).Output()
	if err == nil {
		trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
		err = os.WriteFile(trigger, []byte("1"), 0)
	}
	if err != nil {
		d.t.Skipf("no proof: ext4 cannot be told to fail: %v", err)
	}
}
