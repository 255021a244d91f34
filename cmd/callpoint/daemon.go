package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"callpoint/store"
	"callpoint/sync/collector"
	"callpoint/sync/engine"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// drain bounds how long a stop waits for requests and writes in flight.
	drain = 8 * time.Second
	// saveWithin bounds the last write of a stop.
	saveWithin = 2 * time.Second
)

// daemon collects, polls, resolves and upserts until its context ends.
func (p *program) daemon(ctx context.Context) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	log := p.logger(c)
	spareProcessors()
	if limit := limitMemory("/"); limit > 0 {
		log.Debug("memory limit", "bytes", limit)
	}
	systemd := newSupervisor()
	defer systemd.starting()()
	systemd.status("opening the store")
	p.onStep = systemd.status
	a, err := p.open(c, log, true)
	if err != nil {
		return err
	}
	l, err := listen(ctx, c.Listen)
	if err != nil {
		return errors.Join(failed(err), a.close())
	}
	if a.local, err = c.listenLocal(ctx); err != nil {
		log.Warn("local commands cannot reach this daemon", "err", err)
	}
	return errors.Join(a.serve(ctx, l, systemd), a.close())
}

// serve runs the HTTP server and the engine until ctx ends or one of them fails, and
// then stops both.
func (a *app) serve(ctx context.Context, l net.Listener, systemd *supervisor) error {
	h, err := a.handler()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.watch.Measure()
	srv := collector.NewServer(h, a.log)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if a.local != nil {
		go func() { _ = srv.Serve(a.local) }() // Shutdown ends it with the other one
	}
	ran := make(chan error, 1)
	go func() { ran <- a.lead(ctx) }()
	a.log.Info("callpoint is running", "listen", l.Addr().String(), "store", a.store.Path(), "interval", a.cfg.PollInterval.String())
	systemd.ready()
	beside := a.beside(ctx, systemd)

	var runErr, serveErr error
	select {
	case <-ctx.Done():
	case runErr = <-ran:
		ran <- nil
	case serveErr = <-served:
		served <- http.ErrServerClosed
	}
	systemd.send(daemon.SdNotifyStopping)
	a.log.Info("callpoint is stopping")
	cancel()
	stop, done := context.WithTimeout(context.Background(), drain)
	defer done()
	// Beside the engine: a slow client must not take the cycle's time.
	var clients sync.WaitGroup
	clients.Go(func() { srv.Stop(stop) })
	runErr = errors.Join(runErr, cycleEnd(stop, ran))
	clients.Wait()
	select {
	case <-beside:
	case <-stop.Done(): // a copy that is not complete has no name yet
	}
	if !a.store.Shared() { // a leader's is saved at the end of its term
		saving, saved := context.WithTimeout(context.Background(), saveWithin)
		defer saved()
		if err := a.watch.Save(saving); err != nil {
			a.log.Warn("the history of this run is not saved", "err", err)
		}
	}
	if errors.Is(serveErr, http.ErrServerClosed) {
		serveErr = nil
	}
	if errors.Is(runErr, store.ErrOtherOrg) || errors.As(runErr, new(*engine.ConfigError)) {
		return misconfigured(runErr)
	}
	if err := errors.Join(runErr, serveErr); err != nil {
		return failed(err)
	}
	return nil
}

// cycleEnd waits for the engine until stop ends.
func cycleEnd(stop context.Context, ran <-chan error) error {
	select {
	case err := <-ran:
		return err
	case <-stop.Done():
	}
	select {
	case err := <-ran: // both were ready
		return err
	default:
		return errors.New("cycle still running at the shutdown deadline; unrecorded writes are sent again on the next start")
	}
}

// beside starts what goes on beside engine and server; the channel is closed when all of
// it has ended.
func (a *app) beside(ctx context.Context, systemd *supervisor) <-chan struct{} {
	var all sync.WaitGroup
	all.Go(func() { a.watch.Run(ctx) })
	all.Go(func() { systemd.watchdog(ctx, a.watch.Live) })
	all.Go(func() { systemd.follow(ctx, a.watch.Line, a.cycled) })
	all.Go(func() { a.reload(ctx) })
	all.Go(func() { a.followZone(ctx) })
	all.Go(func() { a.alert(ctx) })
	all.Go(func() { a.maintain(ctx) })
	if a.store.Shared() {
		all.Go(func() { a.follow(ctx) })
		all.Go(func() { a.store.Attend(ctx) })
	}
	if a.spool != nil {
		all.Go(func() { a.spool.Run(ctx) })
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	return ended
}

// reload reads the rules anew on SIGHUP. Bad ones are refused: the old ones stay.
func (a *app) reload(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		r, err := a.cfg.rules()
		if err != nil {
			a.log.Error("rules not reloaded: the old ones stay", "err", err)
			continue
		}
		a.engine.Reload(r.settings, r.fingerprint)
		a.fingerprint.Store(r.fingerprint)
		a.log.Info("rules reloaded")
		if !a.store.Leads() {
			continue // they are used when this instance leads
		}
		// The engine reports its end; only a stop ends the wait early.
		_, _ = a.engine.Sync(ctx)
	}
}

// syncOnce runs one cycle. It never asks a running daemon: a store in use is an error.
func (p *program) syncOnce(ctx context.Context) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	if !c.StoreNamed && !c.storeExists() {
		return failed(cmp.Or(c.Unread, fmt.Errorf("there is no store at %s; run callpoint init, or name one in CALLPOINT_STORE", here(c.Store))))
	}
	a, err := p.open(c, p.logger(c), false)
	if err != nil {
		return err
	}
	s, err := a.engine.Cycle(ctx)
	if err == nil {
		a.refreshZone(ctx, time.Now())
	}
	a.maintainIfDue(ctx)
	if c.DryRun && err == nil {
		err = p.dryRun(ctx, a, s)
		return errors.Join(err, a.watch.Save(context.WithoutCancel(ctx)), a.close())
	}
	err = errors.Join(err, a.watch.Save(context.WithoutCancel(ctx)), a.close())
	var summary fmt.Stringer = s
	if err != nil {
		summary = engine.Failed{Summary: s}
	}
	return verdict(s, errors.Join(err, p.print(summary)))
}

// verdict is the exit code of a cycle.
func verdict(s engine.Summary, err error) error {
	switch {
	case errors.Is(err, store.ErrOtherOrg), errors.As(err, new(*engine.ConfigError)):
		return misconfigured(err)
	case err != nil:
		if cure := engine.Cure(err); cure != "" {
			err = fmt.Errorf("%w\n%s", err, cure)
		}
		return failed(err)
	case s.Parked > 0:
		return &exitError{exitParked, fmt.Errorf("%d touchpoints are parked: Salesforce refuses them; callpoint parked lists them with the cure", s.Parked)}
	}
	return nil
}

// print writes an answer as text or as JSON.
func (p *program) print(v fmt.Stringer) error {
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(v)
	}
	_, err := fmt.Fprintln(p.stdout, v)
	return err
}
