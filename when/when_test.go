package when

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour, "2160h": 2160 * time.Hour,
		"1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "1m30.5s": 90*time.Second + 500*time.Millisecond, "0": 0, "0s": 0,
		"500ms": 500 * time.Millisecond,
	} {
		if got, err := Duration(text); err != nil || got != want {
			t.Errorf("Duration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "90", "d", "-1h", "-5d", "1.5d", "ninety days", "90 d", "1h 30m", "999999999999y"} {
		if got, err := Duration(text); err == nil {
			t.Errorf("Duration(%q) = %v, want an error", text, got)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T08:00:00+01:00": "2026-11-01T07:00:00Z",
		"30d": "2026-10-26T12:00:00Z", "36h": "2026-11-24T00:00:00Z", "1w": "2026-11-18T12:00:00Z",
	} {
		if got, err := Time(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("Time(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "2026-13-01", "12:00"} {
		if got, err := Time(text, now); err == nil {
			t.Errorf("Time(%q) = %v, want an error", text, got)
		}
	}
}

func TestZone(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 22, 30, 15, 0, time.UTC)
	for name, want := range map[string]string{
		"": "2026-07-01 22:30 UTC", "UTC": "2026-07-01 22:30 UTC", "Europe/Berlin": "2026-07-02 00:30 CEST", "America/Los_Angeles": "2026-07-01 15:30 PDT",
	} {
		zone, err := Zone(name)
		if err != nil {
			t.Errorf("Zone(%q): %v", name, err)
		} else if got := Minute(at, zone); got != want {
			t.Errorf("in %q: %s, want %s", name, got, want)
		}
	}
	if got := Second(at, nil); got != "2026-07-01 22:30:15 UTC" {
		t.Errorf("without a zone: %s", got)
	}
	for _, name := range []string{"Berlin", "Local", "local", "../etc/passwd", "CEST"} {
		if _, err := Zone(name); err == nil {
			t.Errorf("Zone(%q) was accepted", name)
		}
	}
}
