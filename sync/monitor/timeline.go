package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"callpoint/mapping"
)

// A timeline is the picture of one call: the visitor's sessions around it, each with the
// window in which a call joins it, and the call itself.
type timeline struct {
	Title         string
	Width, Height int
	Rows          []timelineRow
	CallX         float64
	CallLabel     string
	CallAnchor    string // of the label: start, middle or end
	Ticks         []timelineTick
	Axis          int // y of the axis
}

type timelineRow struct {
	Title        string
	Label        string // channel and page
	Times        string
	Credited     bool
	Y            int // of the bar
	X, W         float64
	WindowX      float64
	WindowW      float64
	Earlier      bool // lies outside of the picture
	Later        bool
	OutsideLabel string
}

type timelineTick struct {
	X    float64
	Name string
}

const (
	timelineWidth = 640
	rowHeight     = 50
	timelineTop   = 34
	shownSessions = 6
)

// drawTimeline returns nil where there is nothing to draw. sessions are those of the visitor,
// of which some may be gone by now: the call's candidates are kept with it.
func drawTimeline(v CallView, sessions []mapping.Session, zone *time.Location) *timeline {
	if v.CallTime.IsZero() || len(v.Candidates) == 0 {
		return nil
	}
	channels := map[int64]string{}
	for _, s := range sessions {
		channels[s.StartedAt.UnixMilli()] = s.ChannelPath
	}
	if v.Session != nil {
		channels[v.Session.StartedAt.UnixMilli()] = v.Session.ChannelPath
	}
	near := nearest(v.Candidates, v.CallTime)
	from, to := v.CallTime.Add(-time.Hour), v.CallTime.Add(20*time.Minute)
	// The picture reaches to the sessions of the same half day; others are named at its edge.
	for _, s := range near {
		if s.StartedAt.After(v.CallTime.Add(-6*time.Hour)) && s.StartedAt.Before(v.CallTime.Add(6*time.Hour)) {
			from, to = earlier(from, s.StartedAt.Add(-5*time.Minute)), later(to, s.WindowEnd.Add(5*time.Minute))
		}
	}
	x := func(t time.Time) float64 {
		return float64(timelineWidth) * float64(t.Sub(from)) / float64(to.Sub(from))
	}
	l := &timeline{Width: timelineWidth, CallX: x(v.CallTime), CallLabel: "call " + timeOfDay(v.CallTime, zone)}
	l.CallAnchor = anchor(l.CallX)
	matched := "no session was credited with it"
	for i, s := range near {
		end := s.WindowEnd
		row := timelineRow{Y: timelineTop + i*rowHeight + 20, Credited: v.Session != nil && v.Session.StartedAt.Equal(s.StartedAt)}
		row.Label = cmp.Or(channels[s.StartedAt.UnixMilli()], "channel not kept") + " · " + shorten(bare(s.LandingPage), 36)
		row.Times = fmt.Sprintf("%s to %s, window until %s", timeOfDay(s.StartedAt, zone), timeOfDay(s.EndedAt, zone), timeOfDay(end, zone))
		row.Title = row.Label + ", " + row.Times
		switch {
		case end.Before(from):
			row.Earlier, row.OutsideLabel = true, "← "+span(int64(v.CallTime.Sub(s.EndedAt)/time.Second))+" before the call"
		case s.StartedAt.After(to):
			row.Later, row.OutsideLabel = true, span(int64(s.StartedAt.Sub(v.CallTime)/time.Second))+" after the call →"
		default:
			row.X, row.WindowX = max(0, x(s.StartedAt)), max(0, x(s.EndedAt))
			row.W = max(4, x(s.EndedAt)-row.X)
			row.WindowX = max(row.WindowX, row.X+row.W)
			row.WindowW = max(0, min(timelineWidth, x(end))-row.WindowX)
		}
		if row.Credited {
			matched = "the session of " + timeOfDay(s.StartedAt, zone) + " was credited with it"
		}
		l.Rows = append(l.Rows, row)
	}
	l.Axis = timelineTop + len(near)*rowHeight + 6
	l.Height = l.Axis + 24
	l.Ticks = ticks(from, to, x, zone)
	l.Title = fmt.Sprintf("Time line: the call at %s; %s of this visitor around it; %s.", timeOfDay(v.CallTime, zone), plural(len(near), "session", "sessions"), matched)
	if v.Distance != 0 {
		l.Title += " The call lies " + distanceText(v.Distance) + " the nearest window."
	}
	return l
}

// nearest returns up to shownSessions sessions closest to a time, by start.
func nearest(all []mapping.Candidate, at time.Time) []mapping.Candidate {
	near := slices.Clone(all)
	distance := func(s mapping.Candidate) time.Duration {
		switch {
		case s.StartedAt.After(at):
			return s.StartedAt.Sub(at)
		case s.EndedAt.Before(at):
			return at.Sub(s.EndedAt)
		}
		return 0
	}
	slices.SortStableFunc(near, func(a, b mapping.Candidate) int { return cmp.Compare(distance(a), distance(b)) })
	near = near[:min(shownSessions, len(near))]
	slices.SortFunc(near, func(a, b mapping.Candidate) int { return a.StartedAt.Compare(b.StartedAt) })
	return near
}

// ticks returns the marks of the time axis: at most eight, at round times.
func ticks(from, to time.Time, x func(time.Time) float64, zone *time.Location) (all []timelineTick) {
	for _, step := range []time.Duration{10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour} {
		if to.Sub(from)/step > 8 {
			continue
		}
		for t := from.Truncate(step).Add(step); t.Before(to); t = t.Add(step) {
			if p := x(t); p > 20 && p < timelineWidth-20 {
				all = append(all, timelineTick{p, t.In(zone).Format("15:04")})
			}
		}
		return all
	}
	return nil
}

// anchor keeps a label within the picture.
func anchor(x float64) string {
	switch {
	case x < 60:
		return "start"
	case x > timelineWidth-60:
		return "end"
	}
	return "middle"
}

// shorten cuts a text to a number of characters.
func shorten(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
