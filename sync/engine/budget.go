package engine

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// budgetSpan is the time that a budget is for. Salesforce's own limit rolls likewise.
	budgetSpan = 24 * time.Hour
	// probeEvery is how often one call is let through although the budget is spent: it
	// shows the state of the org by now.
	probeEvery = 15 * time.Minute
	// unsavedCalls is how many calls a crash may leave uncounted.
	unsavedCalls = 25
)

// A Budget counts our own API calls of a rolling day, and watches the org's. Its Allow
// and Note go into the client's Config; an Engine keeps it in the store. Logins cost
// nothing.
type Budget struct {
	limit   int     // own calls in 24 hours
	reserve float64 // share of the org's daily limit that is never touched, 0 to 1
	now     func() time.Time

	mu      sync.Mutex // guards what follows
	kept    budgetRecord
	total   int // since the program started
	unsaved int
}

// budgetRecord is what the store keeps of a Budget.
type budgetRecord struct {
	Hours    map[int64]int    `json:"hours"` // own calls by hours since 1970
	LastCall time.Time        `json:"last_call"`
	Org      salesforce.Usage `json:"org"`
}

// NewBudget makes a Budget of so many calls a day; now nil is time.Now.
func NewBudget(limit int, reserve float64, now func() time.Time) *Budget {
	if now == nil {
		now = time.Now
	}
	return &Budget{limit: limit, reserve: reserve, now: now, kept: budgetRecord{Hours: map[int64]int{}}}
}

// BudgetState is the state of a budget.
type BudgetState struct {
	Used    int       `json:"used"` // own calls of the last 24 hours
	Limit   int       `json:"limit"`
	OrgUsed int       `json:"org_used"` // everybody's calls, as last heard
	OrgMax  int       `json:"org_max"`  // 0: never heard
	OrgStop int       `json:"org_stop"` // from here on the rest is the reserve
	Spent   bool      `json:"spent"`
	Until   time.Time `json:"until,omitzero"` // when it goes on, or is asked again
	Reason  string    `json:"reason,omitempty"`
}

// A BudgetError is a call that was not made because the budget is spent.
type BudgetError struct {
	Reason string
	Until  time.Time
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("API budget: paused until %s: %s", e.Until.UTC().Format("2006-01-02 15:04:05 UTC"), e.Reason)
}

// Cure returns what to do about it.
func (e *BudgetError) Cure() string {
	return "Everything waits until then and is made up for by itself. To go on now, raise CALLPOINT_API_BUDGET or lower CALLPOINT_API_RESERVE; to need less, raise CALLPOINT_POLL_INTERVAL."
}

// due reports whether something that was done at last, and is to be done so often, is to be
// done at now. A time in the future was written by a clock that was ahead.
func due(now, last time.Time, every time.Duration) bool {
	age := now.Sub(last)
	return age < 0 || age >= every
}

// Allow is asked before every API call.
func (b *Budget) Allow(string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state()
	if !s.Spent {
		return nil
	}
	if now := b.now(); due(now, b.kept.LastCall, probeEvery) {
		b.kept.LastCall = now
		return nil
	}
	return &BudgetError{s.Reason, s.Until}
}

// Note counts a call that was made.
func (b *Budget) Note(i salesforce.CallInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !i.Usage.At.IsZero() {
		b.kept.Org = i.Usage
	}
	if !i.Counted {
		return
	}
	now := b.now()
	b.kept.Hours[now.Unix()/3600]++
	b.kept.LastCall = now
	b.total++
	b.unsaved++
}

// State returns the state of the budget.
func (b *Budget) State() BudgetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state()
}

// Calls is how many calls were made since the program started.
func (b *Budget) Calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// left is when the calls of an hour no longer count: 24 hours after its end.
func left(hour int64) time.Time { return time.Unix((hour+1)*3600, 0).Add(budgetSpan).UTC() }

// counts reports whether the calls of an hour count at now. Hours that have not begun were
// counted by a clock that was ahead.
func counts(hour int64, now time.Time) bool {
	return hour <= now.Unix()/3600 && now.Before(left(hour))
}

func (b *Budget) state() BudgetState {
	now := b.now()
	s := BudgetState{Limit: b.limit, OrgUsed: b.kept.Org.Used, OrgMax: b.kept.Org.Max}
	for hour, n := range b.kept.Hours {
		if counts(hour, now) {
			s.Used += n
		}
	}
	s.OrgStop = s.OrgMax - int(float64(s.OrgMax)*b.reserve)
	probe := b.kept.LastCall.Add(probeEvery).UTC()
	switch {
	case s.Used >= s.Limit:
		s.Spent, s.Until = true, b.free(s.Used)
		s.Reason = fmt.Sprintf("callpoint made %d calls in 24 hours, CALLPOINT_API_BUDGET allows %d", s.Used, s.Limit)
	case s.OrgMax > 0 && s.OrgUsed >= s.OrgStop && !due(now, b.kept.Org.At, budgetSpan):
		s.Spent, s.Until = true, probe
		s.Reason = fmt.Sprintf("the org made %d of its %d calls in 24 hours, CALLPOINT_API_RESERVE keeps the last %d", s.OrgUsed, s.OrgMax, s.OrgMax-s.OrgStop)
	}
	return s
}

// free is when enough old calls have left the count for one more.
func (b *Budget) free(used int) time.Time {
	now := b.now()
	for hour := now.Unix()/3600 - 25; ; hour++ {
		if !now.Before(left(hour)) {
			continue
		}
		if used -= b.kept.Hours[hour]; used < b.limit || hour*3600 > now.Unix() {
			return left(hour)
		}
	}
}

// reload replaces what is known by what the store has.
func (b *Budget) reload(s *store.Store) error {
	b.mu.Lock()
	clear(b.kept.Hours)
	b.mu.Unlock()
	return b.load(s)
}

func (b *Budget) load(s *store.Store) error {
	var kept budgetRecord
	ok, err := s.State("budget", &kept)
	if err != nil || !ok {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for hour, n := range kept.Hours {
		b.kept.Hours[hour] += n
	}
	if kept.LastCall.After(b.kept.LastCall) {
		b.kept.LastCall = kept.LastCall
	}
	if kept.Org.At.After(b.kept.Org.At) {
		b.kept.Org = kept.Org
	}
	return nil
}

// save keeps the count over a restart, if at least so many calls are not kept yet.
func (b *Budget) save(ctx context.Context, s *store.Store, least int) error {
	b.mu.Lock()
	if b.unsaved < least {
		b.mu.Unlock()
		return nil
	}
	now := b.now()
	maps.DeleteFunc(b.kept.Hours, func(hour int64, _ int) bool { return !counts(hour, now) })
	kept := b.kept
	kept.Hours = maps.Clone(b.kept.Hours)
	b.unsaved = 0
	b.mu.Unlock()
	return s.SetState(ctx, "budget", kept)
}
