// Package when reads durations and times as people write them, and writes times in the
// reader's time zone.
package when

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container or a small machine may have no zone files

	"github.com/prometheus/common/model"
)

// Duration parses days and weeks (90d, 2w, 1d12h) as well as the forms of Go (36h, 1h30m,
// 1.5s). Negative durations are refused.
func Duration(text string) (time.Duration, error) {
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, errors.New("not a duration; use for example 90d, 36h, 30m or 45s")
}

// Time parses a day (midnight UTC), an RFC 3339 time, or a duration back from now such as
// 36h or 30d.
func Time(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	if d, err := Duration(text); err == nil {
		return now.Add(-d).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q: neither a day such as 2026-11-01, nor a time such as 2026-11-01T08:00:00Z, nor a duration back such as 30d or 36h", text)
}

// Zone returns the time zone of an IANA name such as Europe/Berlin. Empty means UTC.
// "Local" is refused: it depends on the machine.
func Zone(name string) (*time.Location, error) {
	if strings.EqualFold(name, "local") {
		return nil, errors.New("not a time zone; use an IANA name such as Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("not a time zone; use an IANA name such as Europe/Berlin: %w", err)
	}
	return zone, nil
}

// Minute formats a time to the minute, with its zone: 2026-11-25 18:01 CET.
func Minute(t time.Time, zone *time.Location) string { return format(t, zone, "2006-01-02 15:04 MST") }

// Second formats a time to the second, with its zone: 2026-11-25 18:01:07 CET.
func Second(t time.Time, zone *time.Location) string {
	return format(t, zone, "2006-01-02 15:04:05 MST")
}

func format(t time.Time, zone *time.Location, layout string) string {
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format(layout)
}
