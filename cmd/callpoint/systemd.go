package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// Each announcement during a start buys startExtension; the next comes well before its end.
	startExtension = time.Minute
	startEvery     = startExtension / 3
	// statusEvery is how old a status may grow; the end of a cycle renews it at once.
	statusEvery = 10 * time.Second
	// statusLength keeps a status to what systemctl shows of it.
	statusLength = 200
)

// A supervisor notifies systemd; without systemd it does nothing.
type supervisor struct {
	send    func(state string)
	started func() // ends what starting began; nil: nothing was

	mu   sync.Mutex
	said string // guarded by mu
}

func newSupervisor() *supervisor {
	return &supervisor{send: func(state string) { _, _ = daemon.SdNotify(false, state) }}
}

// status shows a line in systemctl status. The same line twice is sent once.
func (s *supervisor) status(line string) {
	// A line break would begin another assignment.
	line = strings.Join(strings.Fields(line), " ")
	if r := []rune(line); len(r) > statusLength {
		line = string(r[:statusLength-1]) + "…"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if line != s.said {
		s.send("STATUS=" + line)
		s.said = line
	}
}

// starting has systemd wait for ready, or for stop: TimeoutStartSec must not kill a
// migration, which would only begin anew.
func (s *supervisor) starting() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	extend := func() { s.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startExtension.Microseconds())) }
	extend()
	var extending sync.WaitGroup
	extending.Go(func() {
		tick := time.NewTicker(startEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				extend()
			case <-ctx.Done():
				return
			}
		}
	})
	s.started = func() { cancel(); extending.Wait() }
	return s.started
}

// ready ends the start.
func (s *supervisor) ready() {
	if s.started != nil {
		s.started()
	}
	s.send(daemon.SdNotifyReady)
}

// watchdog notifies systemd while the loop makes progress, and stops when it does not.
func (s *supervisor) watchdog(ctx context.Context, live func() error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil || limit == 0 {
		return
	}
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	for {
		if live() == nil {
			s.send(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// follow shows the status line, anew after each cycle and now and then between them.
func (s *supervisor) follow(ctx context.Context, line func() string, cycled <-chan struct{}) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		s.status(line())
		select {
		case <-tick.C:
		case <-cycled:
		case <-ctx.Done():
			return
		}
	}
}
