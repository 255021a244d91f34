package monitor

import (
	"fmt"
	"time"
)

// A Leading is who leads the instances that share a store, as this one knows it.
type Leading struct {
	Me, Role string
	Leader   string // its name; empty: none has ever led
	Address  string
	Term     int64
	Until    time.Time     // when the lease ends unless it is renewed
	Lease    time.Duration // how long it lasts
	Mine     bool
	Err      error // why it is not known anew
}

// A Spooled describes the spool before a store.
type Spooled struct {
	Bytes, Max        int64
	Oldest, AwaySince time.Time
	Away              error // nil: the store takes events
	Full              error // nil: the spool has room
}

func (s *Server) leading() *Leading {
	if s.cfg.Leading == nil {
		return nil
	}
	return s.cfg.Leading()
}

func (s *Server) spooled() *Spooled {
	if s.cfg.Spooled == nil {
		return nil
	}
	return s.cfg.Spooled()
}

// sharedChecks are those of a store that several instances share.
func (s *Server) sharedChecks() (all []check) {
	if l := s.leading(); l != nil {
		all = append(all, check{"leader", func(_ *Server, v *view) (Status, string) { return l.check(v.now) }})
	}
	if sp := s.spooled(); sp != nil {
		all = append(all, check{"spool", func(_ *Server, v *view) (Status, string) { return sp.check(v.now) }})
	}
	return all
}

// headline is that of an instance that does not lead.
func (l *Leading) headline(now time.Time) Headline {
	next := "Nothing to do. If the leader stops, this instance takes over by itself."
	if l.Role == "collector" {
		next = "Nothing to do. An instance with CALLPOINT_ROLE=auto takes over if the leader stops."
	}
	if l.Leader == "" || !now.Before(l.Until) {
		return Headline{StateStandby, "Standby: no instance leads at the moment; this instance collects page views.", next, ""}
	}
	return Headline{StateStandby, "Standby: " + l.Leader + " leads; this instance collects page views.", next, ""}
}

// check is degraded once the lease has run out, and failing after three leases.
func (l *Leading) check(now time.Time) (Status, string) {
	if l.Mine {
		return OK, fmt.Sprintf("%s (this instance) leads in term %d", l.Me, l.Term)
	}
	if l.Until.IsZero() {
		return Degraded, fmt.Sprintf("it is not known who leads; this instance is %s", l.Me)
	}
	over := now.Sub(l.Until)
	detail := fmt.Sprintf("no instance leads since %s; the last was %s in term %d; this instance is %s", ago(over), l.Leader, l.Term, l.Me)
	if l.Leader == "" {
		detail = "no instance has led yet; this instance is " + l.Me
	}
	if l.Err != nil {
		detail += "; " + l.Err.Error()
	}
	switch {
	case over >= 2*l.Lease: // three leases since it was renewed
		return Failing, detail
	case over >= 0:
		return Degraded, detail
	case l.Role == "leader":
		return Degraded, fmt.Sprintf("%s leads in term %d, although CALLPOINT_ROLE of %s is leader", l.Leader, l.Term, l.Me)
	}
	return OK, fmt.Sprintf("%s leads in term %d; this instance is %s", l.Leader, l.Term, l.Me)
}

// check is degraded while events wait in the spool, and failing when it is full.
func (sp *Spooled) check(now time.Time) (Status, string) {
	if sp.Full != nil {
		return Failing, sp.Full.Error()
	}
	if sp.Away == nil && sp.Bytes == 0 {
		return OK, "empty"
	}
	detail := fmt.Sprintf("%d of %d bytes", sp.Bytes, sp.Max)
	if !sp.Oldest.IsZero() {
		detail += ", the oldest since " + ago(now.Sub(sp.Oldest))
	}
	if sp.Away != nil {
		return Degraded, detail + "; the store has been away for " + ago(now.Sub(sp.AwaySince)) + ": " + sp.Away.Error()
	}
	return OK, detail + " being delivered"
}
