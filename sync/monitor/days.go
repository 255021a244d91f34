package monitor

import (
	"maps"
	"slices"
	"sync"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// A tallyCount counts calls, those that the match rate is about, and those that were matched.
type tallyCount struct{ calls, counted, matched int }

func (n *tallyCount) add(r mapping.Reason) {
	n.calls++
	if counts(r) {
		n.counted++
	}
	if isMatched(r) {
		n.matched++
	}
}

func (n *tallyCount) sum(o tallyCount) {
	n.calls, n.counted, n.matched = n.calls+o.calls, n.counted+o.counted, n.matched+o.matched
}

// rate returns the match rate in percent; known is false where no call counts.
func (n tallyCount) rate() (percent float64, known bool) {
	return 100 * float64(n.matched) / float64(max(1, n.counted)), n.counted > 0
}

// A dayTally is what the page shows of one day, in its time zone.
type dayTally struct {
	all      tallyCount
	hours    [24]tallyCount
	channels map[string]tallyCount // by channel path; of calls with a touchpoint
	reasons  map[mapping.Reason]int
	inOrg    int // calls whose touchpoint is in Salesforce
}

func (d *dayTally) add(c store.Call, t *store.Touchpoint, hour int) {
	reason := c.Resolution.Reason
	d.all.add(reason)
	d.hours[hour].add(reason)
	d.reasons[reason]++
	if t == nil {
		return
	}
	if t.RecordID != "" {
		d.inOrg++
	}
	channel, sub := channelOf(c, t)
	if sub != "" {
		channel += "." + sub
	}
	n := d.channels[channel]
	n.add(reason)
	d.channels[channel] = n
}

// Limits of the tally of days.
const (
	tallyDays   = 740    // two periods of a year fit
	tallyAtOnce = 20_000 // calls that one update reads
	tallyRecent = 3      // days that every cycle with news counts again
	tallyEvery  = time.Hour
)

// dayIndex keeps a tally for each day, so that a page costs the same with ten calls a day
// and with ten thousand. A pass walks the calls from the newest back, in parts, and replaces
// each day when it is through with it.
type dayIndex struct {
	each func(since, until time.Time, fn func(store.Call, *store.Touchpoint) bool) error
	zone *time.Location

	// work is held while calls are read. Locked before mu.
	work   sync.Mutex
	passes []*dayPass // to be done, the first one first; guarded by work
	size   int        // calls that the last whole pass read; 0 before the first; guarded by work
	whole  time.Time  // when the last whole pass began; guarded by work

	mu   sync.Mutex
	days map[string]*dayTally // guarded by mu; a tally does not change once it is in here
}

// A dayPass counts the days from until back to since.
type dayPass struct {
	since, until time.Time
	day          string // under way; empty before the first call
	tally        *dayTally
	read         int
	whole        bool // of all days
}

func newDayIndex(zone *time.Location, each func(since, until time.Time, fn func(store.Call, *store.Touchpoint) bool) error) *dayIndex {
	return &dayIndex{each: each, zone: zone, days: map[string]*dayTally{}}
}

// stale asks for a new count: of every day where that is quick or an hour passed, else of
// the newest days.
func (x *dayIndex) stale(now time.Time) {
	x.work.Lock()
	defer x.work.Unlock()
	y, m, d := now.In(x.zone).Date()
	if x.size <= tallyAtOnce || now.Sub(x.whole) >= tallyEvery {
		x.passes, x.whole = []*dayPass{{since: time.Date(y, m, d-tallyDays, 0, 0, 0, 0, x.zone), until: endOfTime, whole: true}}, now
		return
	}
	recent := &dayPass{since: time.Date(y, m, d-tallyRecent+1, 0, 0, 0, 0, x.zone), until: endOfTime}
	// A whole pass that is under way goes on after the newest days.
	x.passes = append([]*dayPass{recent}, slices.DeleteFunc(x.passes, func(p *dayPass) bool { return !p.whole })...)
}

// update continues the passes, by about tallyAtOnce calls. It reports whether all are done.
func (x *dayIndex) update() (done bool, err error) {
	x.work.Lock()
	defer x.work.Unlock()
	for left := tallyAtOnce; len(x.passes) > 0; {
		p := x.passes[0]
		n, more, err := x.walk(p, left)
		if p.whole {
			x.size = p.read
		}
		if err != nil || more {
			return false, err
		}
		left -= n
		x.passes = x.passes[1:]
	}
	return true, nil
}

// settle brings the index up to date if that is quick; else [Server.Run] does it.
func (x *dayIndex) settle() error {
	x.work.Lock()
	quick := x.size <= tallyAtOnce
	x.work.Unlock()
	if !quick {
		return nil
	}
	_, err := x.update()
	return err
}

// walk reads up to limit calls of a pass; more reports whether there are others.
func (x *dayIndex) walk(p *dayPass, limit int) (n int, more bool, err error) {
	until := p.until
	err = x.each(p.since, p.until, func(c store.Call, t *store.Touchpoint) bool {
		at := c.At.In(x.zone)
		day := at.Format(time.DateOnly)
		if day != p.day {
			if n >= limit { // days are counted whole
				more = true
				return false
			}
			x.finish(p, day)
			p.day, p.tally = day, &dayTally{channels: map[string]tallyCount{}, reasons: map[mapping.Reason]int{}}
		}
		n++
		p.read++
		if c.Resolution.Reason != "" { // else it was read and not resolved yet
			p.tally.add(c, t, at.Hour())
		}
		y, m, d := at.Date()
		until = time.Date(y, m, d, 0, 0, 0, 0, x.zone) // the next part begins before this day
		return true
	})
	if err != nil {
		// The part is read again: the day under way is not whole.
		p.day, p.tally = "", nil
		return n, true, err
	}
	if more {
		x.finish(p, p.day)
		p.until = until
		return n, true, nil
	}
	x.finish(p, "")
	return n, false, nil
}

// finish puts the day that p is through with into the index, and removes the days between
// it and the next one, which have no calls. An empty next means the end of the pass.
func (x *dayIndex) finish(p *dayPass, next string) {
	from := p.since.In(x.zone).Format(time.DateOnly)
	if next > from {
		from = next
	}
	upper := p.day
	if upper == "" {
		upper = p.until.In(x.zone).Format(time.DateOnly)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.days, func(day string, _ *dayTally) bool {
		return day > from && day < upper || next == "" && day >= from && day < upper
	})
	if p.tally != nil && p.day != "" {
		x.days[p.day] = p.tally
	}
}

// period returns the tallies of the days from first to last, both included; a day without
// calls is nil.
func (x *dayIndex) period(first time.Time, days int) []*dayTally {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]*dayTally, days)
	y, m, d := first.Date()
	for i := range all {
		all[i] = x.days[time.Date(y, m, d+i, 12, 0, 0, 0, time.UTC).Format(time.DateOnly)]
	}
	return all
}
