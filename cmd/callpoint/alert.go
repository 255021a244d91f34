package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"callpoint/sync/monitor"
	"callpoint/sync/relay"
)

// Alerts report that health turned bad, and that it turned good again. Tests shorten the
// first two.
var (
	alertEvery  = 2 * time.Second  // how often health is looked at
	alertSettle = 10 * time.Second // how long a status must last before it is reported
)

const (
	alertRepeat = 24 * time.Hour // a status that lasts is reported again after that
	// alertLimit is the number of alerts sent within alertRepeat. Further ones are held back.
	alertLimit = 6
	// alertStart is how long a start may take before a status of it counts: until a cycle has
	// ended, nothing is known.
	alertStart    = 10 * time.Minute
	alertRetry    = 15 * time.Second // the first pause after a failed delivery, doubling
	alertRetryMax = 5 * time.Minute
)

// An alert is what is delivered, as the webhook's JSON has it.
type alert struct {
	Status   monitor.Status  `json:"status"`
	State    string          `json:"state"`
	Headline string          `json:"headline"`
	Checks   []monitor.Check `json:"checks"`
	Since    time.Time       `json:"since"` // when the status began
	Host     string          `json:"host"`
	Held     bool            `json:"more_held_back,omitempty"` // the last one for a while
}

// alerted is what the store keeps, so that a restart repeats nothing.
type alerted struct {
	Status monitor.Status `json:"status"` // reported last; empty: ok
	Sent   []time.Time    `json:"sent"`   // of the last alertRepeat
}

// An alerter watches health and delivers alerts.
type alerter struct {
	health  func() monitor.Health
	started func() bool // reports whether a cycle has ended since the start
	deliver func(context.Context, alert) error
	save    func(context.Context, alerted) error
	log     *slog.Logger
	host    string
	began   time.Time

	reported alerted
	status   monitor.Status // as seen last
	since    time.Time      // when it was first seen
	failures int
	next     time.Time // no delivery before
}

// step looks at health once, and delivers an alert if one is due.
func (a *alerter) step(ctx context.Context, now time.Time) {
	h := a.health()
	if h.Status != a.status {
		a.status, a.since = h.Status, now
		a.failures, a.next = 0, time.Time{}
	}
	if !a.due(now) {
		return
	}
	recent := a.recent(now)
	if len(recent) >= alertLimit {
		return
	}
	message := alert{Status: h.Status, State: string(h.State), Headline: h.Sentence, Checks: h.Checks, Since: a.since.UTC(), Host: a.host, Held: len(recent) == alertLimit-1}
	if err := a.deliver(ctx, message); err != nil {
		if ctx.Err() != nil {
			return
		}
		pause := min(alertRetryMax, alertRetry<<min(a.failures, 10))
		a.failures++
		a.next = now.Add(pause)
		a.log.Warn("alert not delivered", "err", err, "next_attempt_seconds", pause.Seconds())
		return
	}
	a.failures = 0
	a.reported = alerted{Status: h.Status, Sent: append(recent, now.UTC())}
	if err := a.save(ctx, a.reported); err != nil {
		a.log.Warn("delivered alert not recorded: a restart may repeat it", "err", err)
	}
}

// due reports whether the present status is to be reported now.
func (a *alerter) due(now time.Time) bool {
	if now.Before(a.next) || now.Sub(a.since) < alertSettle || !a.started() && now.Sub(a.began) < alertStart {
		return false
	}
	last := a.reported.Status
	if a.status == monitor.OK {
		return last != "" && last != monitor.OK
	}
	if last == "" || last == monitor.OK || last == monitor.Degraded && a.status == monitor.Failing {
		return true
	}
	sent := a.reported.Sent
	return len(sent) == 0 || now.Sub(sent[len(sent)-1]) >= alertRepeat
}

// recent returns the deliveries that count against alertLimit.
func (a *alerter) recent(now time.Time) []time.Time {
	var recent []time.Time
	for _, at := range a.reported.Sent {
		if age := now.Sub(at); age >= 0 && age < alertRepeat {
			recent = append(recent, at)
		}
	}
	return recent
}

// alert watches health until ctx ends, if alerts are configured.
func (a *app) alert(ctx context.Context) {
	w := newAlerter(a.cfg, a.log)
	w.health = a.watch.Health
	w.started = func() bool { return !a.engine.Last().At.IsZero() }
	key := "alerted " + w.host
	w.save = func(ctx context.Context, s alerted) error { return a.store.SetShared(ctx, key, s) }
	if _, err := a.store.State(key, &w.reported); err != nil {
		a.log.Warn("earlier alerts are not known", "err", err)
	}
	w.run(ctx)
}

// alertRelay is alert for a relay, which has no store: a restart may repeat an alert.
func alertRelay(ctx context.Context, c Config, log *slog.Logger, watch *relay.Server) {
	w := newAlerter(c, log)
	w.health = func() monitor.Health {
		h := watch.Health()
		m := monitor.Health{Status: monitor.Status(h.Status)}
		m.State, m.Sentence = monitor.State(h.State), h.Headline
		for _, c := range h.Checks {
			m.Checks = append(m.Checks, monitor.Check{Name: c.Name, Status: monitor.Status(c.Status), Detail: c.Detail, Since: c.Since})
		}
		return m
	}
	w.started = func() bool { return true }
	w.save = func(context.Context, alerted) error { return nil }
	w.run(ctx)
}

// newAlerter returns an alerter for the configured ways of delivery.
func newAlerter(c Config, log *slog.Logger) *alerter {
	w := &alerter{log: log, host: "callpoint", began: time.Now()}
	if host, err := os.Hostname(); err == nil {
		w.host = host
	}
	if send := c.alertSenders(); len(send) > 0 {
		w.deliver = func(ctx context.Context, message alert) error { return deliverAll(ctx, send, message) }
	}
	return w
}

// run looks at health until ctx ends; without a way of delivery it returns at once.
func (a *alerter) run(ctx context.Context) {
	if a.deliver == nil {
		return
	}
	tick := time.NewTicker(alertEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.step(ctx, time.Now())
		}
	}
}

// deliverAll sends by every way. One that works is a delivery: the others are only logged by
// their error when none works, so that a broken way does not repeat the alert on the rest.
func deliverAll(ctx context.Context, send []func(context.Context, alert) error, message alert) error {
	var problems []error
	for _, s := range send {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		if err := s(ctx, message); err != nil {
			problems = append(problems, err)
		}
		cancel()
	}
	if len(problems) < len(send) {
		return nil
	}
	return errors.Join(problems...)
}

// title is the first line of an alert for people.
func (m alert) title() string {
	switch m.Status {
	case monitor.OK:
		return fmt.Sprintf("callpoint on %s is ok again", m.Host)
	}
	return fmt.Sprintf("callpoint on %s is %s", m.Host, m.Status)
}

// text is an alert for people: the headline, and each check that is not ok.
func (m alert) text() string {
	text := m.Headline
	for _, c := range m.Checks {
		if c.Status != monitor.OK {
			text += fmt.Sprintf("\n%s: %s: %s", c.Name, c.Status, c.Detail)
		}
	}
	if m.Held {
		text += "\nHealth keeps changing: further alerts are held back until fewer than " + fmt.Sprint(alertLimit) + " were sent within a day."
	}
	return text
}
