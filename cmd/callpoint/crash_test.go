package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// unitStatuses returns the exit statuses after which the unit does not restart the daemon.
func unitStatuses(t *testing.T) (list []int) {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join("..", "..", "systemd", "callpoint.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Restart=on-failure$`).Match(unit) {
		t.Fatal("the unit has no Restart=on-failure")
	}
	m := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(.*)$`).FindSubmatch(unit)
	if m == nil {
		t.Fatal("the unit has no RestartPreventExitStatus=")
	}
	for field := range strings.FieldsSeq(string(m[1])) {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatalf("RestartPreventExitStatus=%s: %v", m[1], err)
		}
		list = append(list, n)
	}
	return list
}

// restarted reports whether systemd starts a unit with Restart=on-failure again: after an
// exit status other than 0 that is not listed, and after a signal other than the four
// that count as a clean end.
func restarted(ws syscall.WaitStatus, prevent []int) bool {
	if ws.Signaled() {
		return !slices.Contains([]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}, ws.Signal())
	}
	return ws.ExitStatus() != 0 && !slices.Contains(prevent, ws.ExitStatus())
}

// TestEveryCrashIsRestarted ends the real daemon in every way a Go process dies and
// compares its exit status with the shipped unit.
func TestEveryCrashIsRestarted(t *testing.T) {
	t.Parallel()
	prevent := unitStatuses(t)
	expect := func(t *testing.T, ws syscall.WaitStatus, logs string) {
		t.Helper()
		if !restarted(ws, prevent) {
			t.Errorf("exit status %d is in RestartPreventExitStatus=%v: systemd leaves the daemon down\n%s", ws.ExitStatus(), prevent, logs)
		}
	}
	for _, sig := range []syscall.Signal{
		syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGKILL,
	} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			d := newBench(t).daemon()
			if err := d.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			<-d.done
			expect(t, d.cmd.ProcessState.Sys().(syscall.WaitStatus), d.logs.String())
		})
	}
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.task(yesterday("12:00:00"), nil) // a page to read
		b.env = append(b.env, "PANIC_AT=page-read")
		_, errs, code := b.run()
		if !strings.Contains(errs, "panic: at page-read") {
			t.Fatalf("the daemon did not panic:\n%s", errs)
		}
		expect(t, syscall.WaitStatus(code<<8), errs)
	})
}

// TestWrongConfigurationIsNotRestarted is the control: the unit leaves down what a
// restart cannot mend.
func TestWrongConfigurationIsNotRestarted(t *testing.T) {
	t.Parallel()
	prevent := unitStatuses(t)
	for _, c := range []struct {
		name string
		env  string
		args []string
		want int
	}{
		{"configuration", "CALLPOINT_RETENTION=soon", nil, exitConfig},
		{"usage", "", []string{"--no-such-flag"}, exitUsage},
	} {
		_, errs, code := newBench(t, c.env).run(c.args...)
		if code != c.want || !slices.Contains(prevent, code) {
			t.Errorf("%s: exit status %d, want %d, which RestartPreventExitStatus=%v must hold\n%s", c.name, code, c.want, prevent, errs)
		}
	}
}
