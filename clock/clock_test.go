package clock

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestClocks(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name          string
		org, store    time.Duration // their times minus the machine's; 0: the witness is missing
		doubt, agreed bool
		says          string
	}{
		{"no witness", 0, 0, false, false, "not yet compared"},
		{"the org agrees", time.Nanosecond, 0, false, true, "agrees with Salesforce's"},
		{"the org is a few seconds off", -21 * time.Second, 0, false, true, "20 s ahead of"},
		{"a store that was just written", 0, -time.Minute, false, true, "not yet compared"},
		{"a store that was written long ago", 0, -100 * day, false, false, "not yet compared"},
		{"a store that was written in the future", 0, time.Hour, true, false, "60 min behind the newest data in the store"},
		{"100 days ahead", -100 * day, -100 * day, true, false, "100 days ahead of Salesforce's and 100 days ahead of the newest data"},
		{"an hour behind", time.Hour, time.Hour, true, false, "60 min behind Salesforce's and 60 min behind the newest data"},
		{"100 days ahead, a new store", -100 * day, 0, true, false, "100 days ahead of Salesforce's; correct"},
		{"the org's date is ahead", 100 * day, -time.Second, true, false, "100 days behind Salesforce's; the newest data in the store agree with this machine"},
		{"the org agrees, the store was written by a wrong clock", time.Nanosecond, 100 * day, false, true, "agrees with Salesforce's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := New(func() time.Time { return noon })
			if c.org != 0 {
				k.SetDate(noon.Add(c.org), noon)
			}
			if c.store != 0 {
				k.SetNewest(noon.Add(c.store))
			}
			if err := k.Doubt(); (err != nil) != c.doubt {
				t.Errorf("Doubt: %v", err)
			}
			if err := k.Agreed(); (err == nil) != c.agreed {
				t.Errorf("Agreed: %v", err)
			}
			if s := k.State().String(); !strings.Contains(s, c.says) {
				t.Errorf("%q does not contain %q", s, c.says)
			}
		})
	}
}

// A slow answer proves nothing about a clock: its Date was written at some time between
// sending and reading.
func TestSlowAnswersAreNoDisagreement(t *testing.T) {
	t.Parallel()
	k := New(func() time.Time { return noon })
	k.SetDate(noon.Add(-9*time.Minute), noon.Add(-10*time.Minute))
	if s := k.State(); s.Org != 0 || k.Doubt() != nil {
		t.Errorf("%v off: %v", s.Org, k.Doubt())
	}
	k.SetDate(noon.Add(-16*time.Minute), noon.Add(-10*time.Minute))
	if s := k.State(); s.Org != 6*time.Minute-time.Second || k.Doubt() == nil {
		t.Errorf("%v off: %v", s.Org, k.Doubt())
	}
}

// The bound of a cursor is the earlier of the two clocks.
func TestBound(t *testing.T) {
	t.Parallel()
	k := New(func() time.Time { return noon })
	began := noon.Add(-3 * time.Second)
	for _, c := range []struct {
		name string
		date time.Time
		want time.Time
	}{
		{"no Date", time.Time{}, began},
		{"the Date is ahead", noon.Add(100 * 24 * time.Hour), began},
		{"the Date is behind", noon.Add(-time.Hour), noon.Add(-time.Hour - 4*time.Second)},
	} {
		if got := k.Bound(c.date, began); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A single Date that is far off, as a proxy may send it, does not put the time off.
func TestOneWrongDateDoesNotDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := New(func() time.Time { return now })
	for range 3 {
		c.SetDate(now, now)
	}
	c.SetDate(now.AddDate(10, 0, 0), now)
	if got := c.Now(); got.Sub(now).Abs() > time.Second {
		t.Errorf("now is %s, want %s", got, now)
	}
	if c.Doubt() == nil {
		t.Error("a Date ten years ahead is not in doubt")
	}
}
