package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"callpoint/store"
)

// maintenance is how often the store is pruned, and compacted where it pays. Tests shorten it.
var maintenance = time.Hour

// dailyBytes returns how many bytes of events one address may send to /m/* a day, where all
// of them may take size (0: no limit). 0 means no limit.
func (c *Config) dailyBytes(size int64) int64 {
	if c.AddressShare >= 1 {
		return 0
	}
	if size == 0 {
		size = 20 << 30
	}
	// Not so little that a household behind one address is cut off.
	return max(1<<20, int64(float64(c.AddressShare)*float64(size)))
}

// endByFault ends the process. A fault in mapped memory leaves locks held that nobody can
// release; a restart opens the file anew, or reports what is wrong with it.
func endByFault(err error) {
	fmt.Fprintf(os.Stderr, "callpoint: %v; callpoint ends, because only a restart can recover\n", err)
	os.Exit(exitFailed)
}

// maintain keeps the store in bounds until ctx ends, beside the poll loop.
func (a *app) maintain(ctx context.Context) {
	for {
		a.maintainIfDue(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(a.maintainAgain()):
		}
	}
}

// maintainAgain returns how long to wait before the next look. At a start the clocks are
// compared by the first cycle.
func (a *app) maintainAgain() time.Duration {
	if a.clock.Agreed() != nil {
		return min(time.Minute, maintenance/4)
	}
	return maintenance / 4
}

// maintainIfDue prunes and compacts if that was an hour ago, or if an erasure was cut off.
// What fails is tried again next time: the store works without.
func (a *app) maintainIfDue(ctx context.Context) {
	if a.store.Shared() && !a.store.Leads() && a.daemon {
		return // the leader does it
	}
	var last time.Time
	if _, err := a.store.State("maintained", &last); err != nil {
		a.log.Warn("store not maintained", "err", err)
		return
	}
	cutOff, err := a.store.ErasurePending()
	if err != nil {
		a.log.Warn("store not maintained", "err", err)
		return
	}
	now := time.Now().UTC()
	if age := now.Sub(last); age >= 0 && age < maintenance && !cutOff {
		return
	}
	if err := a.maintainNow(ctx, now); err != nil && ctx.Err() == nil {
		a.log.Warn("store not maintained: it is tried again", "err", err)
	}
}

func (a *app) maintainNow(ctx context.Context, now time.Time) error {
	// What a wrong clock prunes is gone for good.
	unsure := a.clock.Agreed()
	if unsure == nil {
		if err := a.prune(ctx, now.Add(-a.cfg.Retention)); err != nil {
			return err
		}
	}
	if err := compactIfItPays(ctx, a.store, a.log); err != nil {
		return err
	}
	if unsure != nil {
		a.log.Debug("store not pruned", "err", unsure)
		return nil
	}
	return a.store.SetState(ctx, "maintained", now)
}

// prune drops what is older than before.
func (a *app) prune(ctx context.Context, before time.Time) error {
	began := time.Now()
	did, err := a.engine.Prune(ctx, before)
	if did.Rows+did.Expired > 0 {
		a.log.Info("store pruned", "visitors", did.Visitors, "rows", did.Rows, "kept_for_open_calls", did.Open,
			"summaries_expired", did.Expired, "seconds", time.Since(began).Seconds())
	}
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	return nil
}

func compactIfItPays(ctx context.Context, s *store.Store, log *slog.Logger) error {
	pays, err := s.CompactionPays()
	if err != nil || !pays {
		return err
	}
	began := time.Now()
	before, after, err := s.Compact(ctx)
	if err == nil {
		log.Info("store compacted", "before", before, "after", after, "seconds", time.Since(began).Seconds())
	}
	return err
}
