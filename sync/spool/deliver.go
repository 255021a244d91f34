package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"callpoint/mapping"
)

// maxDelivery bounds the records of one delivery, so that the destination's own limits hold
// and a failure repeats little.
const maxDelivery = 500

// Run delivers segments until ctx ends.
func (s *Spool) Run(ctx context.Context) {
	wait := s.cfg.RetryMin
	for {
		err := s.deliverOldest(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			wait = s.cfg.RetryMin
			continue
		case errors.Is(err, errNothing):
			if s.isAway() == nil {
				select {
				case <-ctx.Done():
					return
				case <-s.wake:
				}
				continue
			}
			// The destination is away but nothing was spooled, because the spool took nothing:
			// after the wait the next Add tries the destination again.
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, s.cfg.RetryMax)
		if errors.Is(err, errNothing) {
			s.setAway(nil)
		}
	}
}

var errNothing = errors.New("nothing to deliver")

// deliverOldest delivers one segment and removes it.
func (s *Spool) deliverOldest(ctx context.Context) error {
	seg := s.oldest()
	if seg == nil {
		return errNothing
	}
	data, err := os.ReadFile(seg.path)
	if err != nil {
		return s.setAside(seg, err)
	}
	var whole []batch
	damaged := 0
	for b := range batches(data[:min(int64(len(data)), seg.size)]) {
		if b == nil {
			damaged++
			continue
		}
		whole = append(whole, *b)
	}
	if damaged > 0 {
		if err := s.keepCopy(seg, data, damaged, errDamaged); err != nil {
			return err
		}
	}
	for len(whole) > 0 {
		n := together(whole)
		if err := s.deliver(ctx, whole[:n], seg); err != nil {
			return err
		}
		whole = whole[n:]
	}
	return s.remove(seg)
}

// together returns how many batches fit into one delivery: at least one.
func together(all []batch) int {
	n, records := 0, 0
	for _, b := range all {
		records += len(b.Events) + len(b.Visits)
		if n > 0 && records > maxDelivery {
			break
		}
		n++
	}
	return n
}

// deliver passes batches to the sink. A refusal that is not an absence is about one of the
// batches: each then goes alone, and the refused one is moved aside.
func (s *Spool) deliver(ctx context.Context, some []batch, seg *segment) error {
	var events []mapping.Event
	var visits []mapping.Visit
	for _, b := range some {
		events, visits = append(events, b.Events...), append(visits, b.Visits...)
	}
	_, err := s.cfg.Sink.Add(ctx, events, visits)
	switch {
	case err == nil:
		s.setAway(nil)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.cfg.Away(err):
		s.setAway(err)
		return err
	case len(some) > 1:
		for i := range some {
			if err := s.deliver(ctx, some[i:i+1], seg); err != nil {
				return err
			}
		}
		return nil
	}
	data, encodeErr := encode(some[0].At, some[0].Events, some[0].Visits)
	if encodeErr != nil {
		return encodeErr
	}
	return s.keepCopy(seg, data, 1, err)
}

// oldest returns the segment to deliver, closed for writing; nil if there is none.
func (s *Spool) oldest() *segment {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		if seg.size > 0 {
			seg.seal()
			return seg
		}
	}
	return nil
}

// remove deletes a delivered segment.
func (s *Spool) remove(seg *segment) error {
	if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("spool: %w", err)
	}
	s.drop(seg)
	return nil
}

// drop takes a segment off the list.
func (s *Spool) drop(seg *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.segments {
		if other == seg {
			s.segments = append(s.segments[:i], s.segments[i+1:]...)
			s.bytes -= seg.size
			if errors.Is(s.failed, ErrFull) {
				s.failed = nil
			}
			return
		}
	}
}

// keepCopy writes data beside the segments, so that an acknowledged batch which cannot be
// delivered is not lost, and logs where it is.
func (s *Spool) keepCopy(seg *segment, data []byte, n int, cause error) error {
	f, err := os.CreateTemp(s.cfg.Dir, asidePattern)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.mu.Lock()
	s.aside++
	s.mu.Unlock()
	s.cfg.Log.Error("batches of the spool cannot be delivered: a copy is kept", "batches", n, "segment", seg.path, "copy", f.Name(), "err", cause)
	return nil
}

// setAside takes a segment that cannot be read off the list; the file stays.
func (s *Spool) setAside(seg *segment, cause error) error {
	s.drop(seg)
	s.mu.Lock()
	s.aside++
	s.mu.Unlock()
	s.cfg.Log.Error("a segment of the spool cannot be read: it is left as it is", "segment", seg.path, "err", cause)
	return nil
}
