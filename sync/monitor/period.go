package monitor

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// A Period is a number of whole days in the page's time zone.
type Period struct {
	From time.Time // midnight, or what takes its place on a day without one
	Days int
	Own  bool // chosen by its dates
}

// periodDays are the periods that the page offers.
var periodDays = []int{7, 30, 90}

// maxPeriod keeps a period and the one before it within the index.
const maxPeriod = 366

// parsePeriod reads days=N, or from=DATE and to=DATE (both included). Empty means 30 days.
func parsePeriod(days, from, to string, now time.Time, zone *time.Location) (Period, error) {
	y, m, d := now.In(zone).Date()
	midnight := func(offset int) time.Time { return time.Date(y, m, d+offset, 0, 0, 0, 0, zone) }
	if from == "" && to == "" {
		n := reportDays
		if days != "" {
			var err error
			if n, err = strconv.Atoi(days); err != nil || n < 1 || n > maxPeriod {
				return Period{}, &badRequest{fmt.Errorf("days=%s: want a number from 1 to %d", days, maxPeriod)}
			}
		}
		return Period{From: midnight(1 - n), Days: n}, nil
	}
	last, err := parseDay("to", to, midnight(0), zone)
	if err != nil {
		return Period{}, err
	}
	first, err := parseDay("from", from, last.AddDate(0, 0, 1-reportDays), zone)
	if err != nil {
		return Period{}, err
	}
	n := dayNumber(last) - dayNumber(first) + 1
	switch {
	case n < 1:
		return Period{}, &badRequest{fmt.Errorf("from=%s must not be after to=%s", first.Format(time.DateOnly), last.Format(time.DateOnly))}
	case n > maxPeriod:
		return Period{}, &badRequest{fmt.Errorf("from=%s to=%s: at most %d days", first.Format(time.DateOnly), last.Format(time.DateOnly), maxPeriod)}
	}
	return Period{From: first, Days: n, Own: true}, nil
}

func parseDay(name, text string, otherwise time.Time, zone *time.Location) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return t, &badRequest{fmt.Errorf("%s=%s: want a day such as 2026-11-01", name, text)}
	}
	return t, nil
}

// dayNumber counts days independently of the changes of a zone's offset.
func dayNumber(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// before returns the period of the same length that ends where p begins.
func (p Period) before() Period { return Period{From: p.From.AddDate(0, 0, -p.Days), Days: p.Days} }

// Last returns the last day of the period.
func (p Period) Last() time.Time { return p.From.AddDate(0, 0, p.Days-1) }

// Name describes the period in a sentence.
func (p Period) Name() string {
	if p.Own {
		return "from " + p.From.Format("2 Jan 2006") + " to " + p.Last().Format("2 Jan 2006")
	}
	return fmt.Sprintf("in the last %d days", p.Days)
}

// Query returns the period as a query string.
func (p Period) Query() string {
	if !p.Own {
		return "days=" + strconv.Itoa(p.Days)
	}
	return url.Values{"from": {p.From.Format(time.DateOnly)}, "to": {p.Last().Format(time.DateOnly)}}.Encode()
}
