package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Charts are inline SVG, drawn here: a page needs no script. Each has its numbers as a title
// and as a table, so that nobody depends on the picture.

const (
	chartWidth  = 640
	chartHeight = 180
	chartBase   = 176 // y of the axis
	chartTop    = 8
)

// A chart is one picture with its alternative in words.
type chart struct {
	Title       string // what a screen reader reads
	Width       int
	Height      int
	Base        int
	Bars        []chartBar
	Line        []string // polylines
	Dots        []chartDot
	Grid        []chartGrid
	First, Last string
	Legend      []chartKey
	Columns     []string // of the table
	Rows        [][]string
}

type chartBar struct {
	Title    string
	Segments []chartRect
}

type chartRect struct {
	Class      string
	X, Y, W, H float64
}

type chartDot struct {
	Title string
	X, Y  float64
}

type chartGrid struct {
	Y    float64
	Name string
}

type chartKey struct {
	Class, Name string
	Calls       int
}

// periodData is what the charts of a period are drawn from.
type periodData struct {
	Period
	days     []*dayTally
	all      tallyCount
	inOrg    int
	hours    [24]tallyCount
	channels map[string]tallyCount // by channel path
	reasons  map[string]int
}

func collect(p Period, days []*dayTally) periodData {
	d := periodData{Period: p, days: days, channels: map[string]tallyCount{}, reasons: map[string]int{}}
	for _, day := range days {
		if day == nil {
			continue
		}
		d.all.sum(day.all)
		d.inOrg += day.inOrg
		for h, n := range day.hours {
			d.hours[h].sum(n)
		}
		for name, n := range day.channels {
			sum := d.channels[name]
			sum.sum(n)
			d.channels[name] = sum
		}
		for reason, n := range day.reasons {
			d.reasons[string(reason)] += n
		}
	}
	return d
}

// bins joins neighbouring days where there are more than fit beside each other.
func (d periodData) bins() (size int, all [][]*dayTally) {
	size = 1
	if len(d.days) > 92 {
		size = 7
	}
	for some := range slices.Chunk(d.days, size) {
		all = append(all, some)
	}
	return size, all
}

// binName names the days of a bin.
func (d periodData) binName(i, size int) string {
	first := d.From.AddDate(0, 0, i*size)
	if size == 1 {
		return first.Format("Mon 2 Jan 2006")
	}
	return first.Format("2 Jan") + " to " + first.AddDate(0, 0, min(size, d.Days-i*size)-1).Format("2 Jan 2006")
}

// shownGroups is how many channels have a colour of their own in the chart of days.
const shownGroups = 5

// groups returns the channels with most calls, without their subchannels.
func (d periodData) groups() []string {
	calls := map[string]int{}
	for name, n := range d.channels {
		channel, _, _ := strings.Cut(name, ".")
		calls[channel] += n.calls
	}
	names := slices.SortedFunc(maps.Keys(calls), func(a, b string) int {
		return cmp.Or(calls[b]-calls[a], strings.Compare(a, b))
	})
	return names[:min(shownGroups, len(names))]
}

// chartDays shows calls by day and channel.
func chartDays(d periodData) *chart {
	if d.all.calls == 0 {
		return nil
	}
	size, bins := d.bins()
	groups := d.groups()
	index := map[string]int{}
	for i, name := range groups {
		index[name] = i
	}
	others, none := len(groups), len(groups)+1
	names := append(slices.Clone(groups), "Other channels", "No touchpoint")
	counts := make([][]int, len(bins))
	total := make([]int, len(names))
	most := 1
	for i, bin := range bins {
		counts[i] = make([]int, len(names))
		sum := 0
		for _, day := range bin {
			if day == nil {
				continue
			}
			left := day.all.calls
			for path, n := range day.channels {
				channel, _, _ := strings.Cut(path, ".")
				g, ok := index[channel]
				if !ok {
					g = others
				}
				counts[i][g] += n.calls
				left -= n.calls
			}
			counts[i][none] += max(0, left)
			sum += day.all.calls
		}
		for g, n := range counts[i] {
			total[g] += n
		}
		most = max(most, sum)
	}
	unit := "day"
	if size > 1 {
		unit = fmt.Sprintf("%d days", size)
	}
	c := newChart(fmt.Sprintf("Calls by %s and channel %s: %s, at most %d in one %s.", unit, d.Name(), plural(d.all.calls, "call", "calls"), most, strings.TrimLeft(unit, "0123456789 ")), d)
	c.Columns = append([]string{"Day"}, names...)
	c.Grid = []chartGrid{{chartTop, plural(most, "call", "calls")}}
	step := float64(chartWidth) / float64(len(bins))
	for i, n := range counts {
		bar := chartBar{}
		row := []string{d.binName(i, size)}
		y := float64(chartBase)
		var parts []string
		for g, calls := range n {
			row = append(row, fmt.Sprint(calls))
			if calls == 0 {
				continue
			}
			h := float64(calls) / float64(most) * (chartBase - chartTop)
			y -= h
			bar.Segments = append(bar.Segments, chartRect{groupClass(g, none), float64(i)*step + gap(step), y, step - 2*gap(step), max(1, h-1)})
			parts = append(parts, fmt.Sprintf("%s %d", names[g], calls))
		}
		bar.Title = row[0] + ": " + strings.Join(parts, ", ")
		if len(bar.Segments) > 0 {
			c.Bars = append(c.Bars, bar)
			c.Rows = append(c.Rows, row)
		}
	}
	for g, n := range total {
		if n > 0 {
			c.Legend = append(c.Legend, chartKey{groupClass(g, none), names[g], n})
		}
	}
	return c
}

func newChart(title string, d periodData) *chart {
	return &chart{Title: title, Width: chartWidth, Height: chartHeight, Base: chartBase,
		First: d.From.Format("2 Jan"), Last: d.Last().Format("2 Jan 2006")}
}

// gap is the space on either side of a bar.
func gap(step float64) float64 { return min(3, step*0.12) }

func groupClass(g, none int) string {
	if g == none {
		return "g-none"
	}
	return fmt.Sprintf("g%d", g)
}

// chartRate shows the match rate over time. Days of which no call counts leave a gap.
func chartRate(d periodData) *chart {
	if d.all.counted == 0 {
		return nil
	}
	size, bins := d.bins()
	overall, _ := d.all.rate()
	c := newChart(fmt.Sprintf("Match rate %s: %.0f %% of %s with a BizibleId.", d.Name(), overall, plural(d.all.counted, "call", "calls")), d)
	c.Columns = []string{"Day", "Match rate", "Matched", "Calls with a BizibleId"}
	for _, percent := range []int{50, 100} {
		c.Grid = append(c.Grid, chartGrid{rateY(float64(percent)), fmt.Sprintf("%d %%", percent)})
	}
	step := float64(chartWidth) / float64(len(bins))
	var points []string
	flush := func() {
		if len(points) > 1 {
			c.Line = append(c.Line, strings.Join(points, " "))
		}
		points = nil
	}
	for i, bin := range bins {
		var n tallyCount
		for _, day := range bin {
			if day != nil {
				n.sum(day.all)
			}
		}
		percent, known := n.rate()
		if !known {
			flush()
			continue
		}
		x, y := (float64(i)+0.5)*step, rateY(percent)
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		name := d.binName(i, size)
		c.Dots = append(c.Dots, chartDot{fmt.Sprintf("%s: %.0f %%, %d of %d", name, percent, n.matched, n.counted), x, y})
		c.Rows = append(c.Rows, []string{name, fmt.Sprintf("%.0f %%", percent), fmt.Sprint(n.matched), fmt.Sprint(n.counted)})
	}
	flush()
	return c
}

func rateY(percent float64) float64 { return chartBase - percent/100*(chartBase-chartTop) }

// chartHours shows at which hour people call.
func chartHours(d periodData, zone string) *chart {
	if d.all.calls == 0 {
		return nil
	}
	most := 1
	peak := 0
	for h, n := range d.hours {
		if n.calls > d.hours[peak].calls {
			peak = h
		}
		most = max(most, n.calls)
	}
	c := newChart(fmt.Sprintf("Calls by hour of the day %s (%s): most between %02d:00 and %02d:00, %s.", d.Name(), zone, peak, (peak+1)%24, plural(most, "call", "calls")), d)
	c.First, c.Last = "00:00", "24:00"
	c.Grid = []chartGrid{{chartTop, plural(most, "call", "calls")}}
	c.Columns = []string{"Hour", "Calls", "Matched"}
	step := float64(chartWidth) / 24
	for h, n := range d.hours {
		if n.calls == 0 {
			continue
		}
		all := float64(n.calls) / float64(most) * (chartBase - chartTop)
		matched := float64(n.matched) / float64(most) * (chartBase - chartTop)
		x, w := float64(h)*step+gap(step), step-2*gap(step)
		bar := chartBar{Title: fmt.Sprintf("%02d:00: %s, %d matched", h, plural(n.calls, "call", "calls"), n.matched)}
		bar.Segments = append(bar.Segments, chartRect{"unmatched", x, chartBase - all, w, all - matched})
		bar.Segments = append(bar.Segments, chartRect{"matched", x, chartBase - matched, w, max(0, matched-1)})
		c.Bars = append(c.Bars, bar)
		c.Rows = append(c.Rows, []string{fmt.Sprintf("%02d:00", h), fmt.Sprint(n.calls), fmt.Sprint(n.matched)})
	}
	c.Legend = []chartKey{{"matched", "matched to a web session", d.all.matched}, {"unmatched", "not matched", d.all.calls - d.all.matched}}
	return c
}

// channelBar is a channel with its calls; widths are percent of the longest bar.
type channelBar struct {
	Name           string
	Query          string // of the list of its calls; empty for the sum of several
	Calls          int
	Width, Matched int
}

// shownChannels bounds the chart; the rest is one bar.
const shownChannels = 10

func chartChannels(d periodData) []channelBar {
	var all []channelBar
	for name, n := range d.channels {
		all = append(all, channelBar{Name: name, Query: name, Calls: n.calls, Matched: n.matched})
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

// channelPaths returns the channels and channel paths of a period, sorted.
func channelPaths(d periodData) []string {
	all := map[string]bool{}
	for path := range d.channels {
		channel, _, _ := strings.Cut(path, ".")
		all[path], all[channel] = true, true
	}
	return slices.Sorted(maps.Keys(all))
}

// change compares a number with that of the period before.
func change(now, before int) string {
	switch {
	case before == 0:
		return "none in the period before"
	case now == before:
		return "as many as in the period before"
	}
	return fmt.Sprintf("%+.0f %% on the period before (%d)", 100*float64(now-before)/float64(before), before)
}

// timeOfDay formats a time of day.
func timeOfDay(t time.Time, zone *time.Location) string { return t.In(zone).Format("15:04:05") }
