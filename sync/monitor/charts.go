package monitor

import (
	"cmp"
	"fmt"
	"slices"
)

// dayChart is a bar for each day: all calls, and over it those tied to a session.
type dayChart struct {
	Width, Height, Base int
	Bars                []dayBar
	First, Last, Title  string
	Most                int
}

type dayBar struct {
	Title                          string
	X, Y, W, H, MatchedY, MatchedH int
}

const (
	chartWidth  = 600
	chartHeight = 160
	chartBase   = 156
)

func chartDays(days []ReportDay) *dayChart {
	days = days[max(0, len(days)-reportDays):]
	c := &dayChart{Width: chartWidth, Height: chartHeight, Base: chartBase}
	calls, matched := 0, 0
	for _, d := range days {
		c.Most = max(c.Most, d.Calls)
		calls += d.Calls
		matched += d.Matched
	}
	if c.Most == 0 {
		return nil
	}
	c.First, c.Last = days[0].Day, days[len(days)-1].Day
	c.Title = fmt.Sprintf("Calls by day from %s to %s: %d calls, %d tied to a session, at most %d in a day", c.First, c.Last, calls, matched, c.Most)
	step := chartWidth / len(days)
	for i, d := range days {
		h, m := height(d.Calls, c.Most), height(d.Matched, c.Most)
		c.Bars = append(c.Bars, dayBar{
			Title: fmt.Sprintf("%s: %d calls, %d tied to a session", d.Day, d.Calls, d.Matched),
			X:     i*step + (chartWidth-step*len(days))/2, W: max(1, step-4), Y: chartBase - h, H: h, MatchedY: chartBase - m, MatchedH: m,
		})
	}
	return c
}

// height keeps a bar visible that is not empty.
func height(n, most int) int {
	if n == 0 {
		return 0
	}
	return max(3, n*(chartBase-4)/most)
}

// channelBar is a channel with its calls; widths are percent of the longest bar.
type channelBar struct {
	Name           string
	Calls          int
	Width, Matched int
}

// shownChannels bounds the chart; the rest is one bar.
const shownChannels = 10

func chartChannels(rows []ReportRow) []channelBar {
	byName := map[string]*[2]int{}
	for _, r := range rows {
		name := r.Channel
		if r.Subchannel != "" {
			name += " · " + r.Subchannel
		}
		if byName[name] == nil {
			byName[name] = &[2]int{}
		}
		byName[name][0] += r.Calls
		byName[name][1] += r.Matched
	}
	var all []channelBar
	for name, n := range byName {
		all = append(all, channelBar{Name: name, Calls: n[0], Matched: n[1]})
	}
	slices.SortFunc(all, func(a, b channelBar) int { return cmp.Or(b.Calls-a.Calls, cmp.Compare(a.Name, b.Name)) })
	if len(all) > shownChannels {
		rest := channelBar{Name: fmt.Sprintf("%d more channels", len(all)-shownChannels+1)}
		for _, c := range all[shownChannels-1:] {
			rest.Calls += c.Calls
			rest.Matched += c.Matched
		}
		all = append(all[:shownChannels-1], rest)
	}
	most := 1
	for _, c := range all {
		most = max(most, c.Calls)
	}
	for i := range all {
		all[i].Width, all[i].Matched = 100*all[i].Calls/most, 100*all[i].Matched/most
	}
	return all
}
