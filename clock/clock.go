// Package clock compares the machine's clock with two witnesses: the dates of Salesforce's
// answers and the newest time that the store holds. A clock that is wrong by days must
// neither prune the store nor write a cursor that lies in the future.
package clock

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Tolerance is by how much two clocks may differ before nothing that cannot be undone is
// done by them.
const Tolerance = 5 * time.Minute

// A Clock knows the org's time. Its methods may be called from many goroutines.
type Clock struct {
	now func() time.Time

	mu     sync.Mutex
	dates  []answer  // of the last answers, the newest last
	newest time.Time // in the store when it was opened; zero: unknown
	opened time.Time // when that was, by the machine's clock with its monotonic reading
}

// An answer is the Date of one answer, a whole second, and when its request was sent and it was
// read, by the machine's clock with its monotonic reading.
type answer struct{ date, sent, read time.Time }

// witnesses is how many answers the org's time is taken from.
const witnesses = 9

// New returns a Clock of the machine's clock; nil is time.Now.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now}
}

// SetNewest sets the newest time that the store holds when it is opened, by the clock of
// the machine that wrote it.
func (c *Clock) SetNewest(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest, c.opened = t, c.now()
}

// SetDate sets the org's time by the Date of an answer that was read just now to a request
// that was sent at sent. A zero date is ignored.
func (c *Clock) SetDate(date, sent time.Time) {
	if date.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dates) == witnesses {
		c.dates = append(c.dates[:0], c.dates[1:]...)
	}
	c.dates = append(c.dates, answer{date, sent, c.now()})
}

// A State is how far the clocks are apart.
type State struct {
	Org      time.Duration // the machine's clock minus Salesforce's
	HasOrg   bool          // an answer of Salesforce was read
	Store    time.Duration // the machine's clock minus the store's newest time, both when it was opened
	HasStore bool
}

// State compares the clocks now. A jump of the machine's clock shows at once, because the
// time since the last answer is measured by the monotonic clock.
func (c *Clock) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	wall := now.Round(0) // without the monotonic reading
	s := State{HasOrg: len(c.dates) > 0, HasStore: !c.newest.IsZero()}
	if s.HasOrg {
		s.Org = c.dates[len(c.dates)-1].behind(now, wall)
	}
	if s.HasStore {
		s.Store = wall.Sub(c.newest.Add(now.Sub(c.opened)))
	}
	return s
}

// behind returns by how much Salesforce's clock is behind the machine's, by one answer. The
// Date was written between sending and reading, and is exact to a second: of the differences
// that are possible the smallest counts.
func (a answer) behind(now, wall time.Time) time.Duration {
	least := wall.Sub(a.date.Add(time.Second + now.Sub(a.sent)))
	most := wall.Sub(a.date.Add(now.Sub(a.read)))
	return max(least, min(0, most))
}

// Now returns the org's time by the last answers, which is the machine's own until one was
// read. The median of them counts, so that no single Date puts the time off; of two in the
// middle, the newest answer if it is one of them.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.dates) == 0 {
		return now.UTC()
	}
	all := make([]time.Duration, len(c.dates))
	for i, a := range c.dates {
		all[i] = a.behind(now, now.Round(0))
	}
	newest := all[len(all)-1]
	slices.Sort(all)
	behind := all[len(all)/2]
	if all[(len(all)-1)/2] == newest {
		behind = newest
	}
	return now.Add(-behind).UTC()
}

// Doubt returns an error while the clocks disagree by more than [Tolerance]: the machine's
// and Salesforce's or, as long as Salesforce has not answered, the machine's and a store
// that holds later times.
func (c *Clock) Doubt() error {
	s := c.State()
	if !s.doubtful() {
		return nil
	}
	return fmt.Errorf("clock: %s; until this is corrected nothing is pruned and no cursor is stored", s)
}

// Agreed returns nil where a witness agrees with the machine's clock, and otherwise an
// error that names what is missing. A store that was last written long ago is no witness.
func (c *Clock) Agreed() error {
	if err := c.Doubt(); err != nil {
		return err
	}
	if s := c.State(); !s.HasOrg && (!s.HasStore || s.Store > Tolerance) {
		return fmt.Errorf("clock: not yet compared with Salesforce's")
	}
	return nil
}

func (s State) doubtful() bool {
	if s.HasOrg {
		return s.Org.Abs() > Tolerance
	}
	return s.HasStore && s.Store < -Tolerance
}

// String names the clock that is off, and by how much.
func (s State) String() string {
	switch {
	case s.HasOrg && s.Org.Abs() <= Tolerance:
		if s.Org.Abs() < 2*time.Second {
			return "agrees with Salesforce's"
		}
		return fmt.Sprintf("this machine's clock is %s Salesforce's", apart(s.Org))
	case s.HasOrg && s.HasStore && s.Store.Abs() <= Tolerance && s.Org < 0:
		// The store was written by this clock, so it speaks for it.
		return fmt.Sprintf("this machine's clock is %s Salesforce's; the newest data in the store agree with this machine", apart(s.Org))
	case s.HasOrg && s.HasStore && s.Store > Tolerance && s.Org > 0:
		return fmt.Sprintf("this machine's clock is %s Salesforce's and %s the newest data in the store; correct this machine's clock", apart(s.Org), apart(s.Store))
	case s.HasOrg && s.HasStore && s.Store < -Tolerance && s.Org < 0:
		return fmt.Sprintf("this machine's clock is %s Salesforce's and %s the newest data in the store; correct this machine's clock", apart(s.Org), apart(s.Store))
	case s.HasOrg:
		return fmt.Sprintf("this machine's clock is %s Salesforce's; correct this machine's clock", apart(s.Org))
	case s.HasStore && s.Store < -Tolerance:
		return fmt.Sprintf("this machine's clock is %s the newest data in the store; correct it", apart(s.Store))
	}
	return "not yet compared with Salesforce's"
}

// apart writes a difference as "3 h ahead of" or "2 days behind".
func apart(d time.Duration) string {
	where := "ahead of"
	if d < 0 {
		where, d = "behind", -d
	}
	switch day := 24 * time.Hour; {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s %s", d.Round(time.Second)/time.Second, where)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min %s", d.Round(time.Minute)/time.Minute, where)
	case d < 2*day:
		return fmt.Sprintf("%d h %s", d.Round(time.Hour)/time.Hour, where)
	default:
		return fmt.Sprintf("%d days %s", d.Round(day)/day, where)
	}
}

// Bound returns up to when an answer is complete whose query began at began, by the
// machine's clock: the earlier of the two clocks, so that a Date that is ahead moves no
// cursor into the future.
func (c *Clock) Bound(date, began time.Time) time.Time {
	own := began.UTC()
	if date.IsZero() {
		return own
	}
	// Date is a whole second, written when the query had ended.
	org := date.Add(-c.now().Sub(began) - time.Second).UTC()
	if org.Before(own) {
		return org
	}
	return own
}
