package store

import (
	"context"
	"testing"
	"time"

	"callpoint/mapping"
)

// Of two reports of one event, or of one finished session, the same one is kept in any order
// of arrival.
func TestRepeatsInAnyOrder(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	bare := event("a", 1)
	full := bare
	full.Referrer, full.Geo = "https://www.google.com/", mapping.Geo{City: "Seattle"}
	v := mapping.Visit{SessionID: "s", Visitor: "a", StartedAt: bare.At, EndedAt: bare.At.Add(time.Minute), PageViews: 2, LandingPage: "https://www.example.com/"}
	other := v
	other.Referrer = "https://www.bing.com/"
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		s := openTest(t)
		events, visits := []mapping.Event{bare, full}, []mapping.Visit{v, other}
		for _, i := range order {
			if _, err := s.Add(ctx, events[i:i+1], visits[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		j, err := s.Journey("a")
		if err != nil || len(j.Events) != 1 || len(j.Visits) != 1 {
			t.Fatalf("%+v, %v", j, err)
		}
		if j.Events[0].Referrer != full.Referrer || j.Events[0].Geo != full.Geo || j.Visits[0].Referrer != other.Referrer {
			t.Errorf("order %v: %+v, %+v", order, j.Events[0], j.Visits[0])
		}
		// The same again changes nothing.
		if repeated, err := s.Add(ctx, events, visits); err != nil || repeated != 4 {
			t.Errorf("order %v: %d of 4 are repeats, %v", order, repeated, err)
		}
	}
}
