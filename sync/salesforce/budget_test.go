package salesforce

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	spent := errors.New("the budget is spent")
	s := newServer(t, status(503))
	var asked, counted int
	config := s.config()
	config.AllowCall = func(op string) error {
		if op != "query" {
			t.Errorf("asked for %s", op)
		}
		if asked++; asked > 1 {
			return spent
		}
		return nil
	}
	config.OnCall = func(i CallInfo) {
		if i.Counted {
			counted++
		}
	}
	// One attempt passes, the next is denied: the denial comes back as it is,
	// and at once.
	if err := query(newClient(t, config)); err != spent {
		t.Errorf("got %v, want the very error", err)
	}
	if asked != 2 || counted != 1 || len(s.requests()) != 1 {
		t.Errorf("asked %d, counted %d, sent %d", asked, counted, len(s.requests()))
	}
}

func TestDeniedUpsertNamesEveryRow(t *testing.T) {
	t.Parallel()
	spent := errors.New("the budget is spent")
	s := newServer(t, answer(okUpsert))
	config := s.config()
	config.AllowCall = func(string) error { return spent }
	results, err := newClient(t, config).Upsert(context.Background(), []Batch{batch("Lead", "k1", "k2")})
	if err != spent || len(results) != 1 || len(results[0]) != 2 || !errors.Is(results[0][1].Err, spent) {
		t.Errorf("got %+v, %v", results, err)
	}
}

func TestCallInfo(t *testing.T) {
	t.Parallel()
	s := newServer(t, sequence(status(503), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Sforce-Limit-Info", "api-usage=25/15000; per-app-api-usage=17/250(appName=x)")
		refuse(w, 400, "QUERY_TIMEOUT", "Your query request was running for too long.")
	}))
	var infos []CallInfo
	config := s.config()
	config.OnCall = func(i CallInfo) { infos = append(infos, i) }
	c := newClient(t, config)
	if err := query(c); Classify(err) != NarrowQuery {
		t.Errorf("got %v", err)
	}
	want := []CallInfo{{Op: "login", Status: 200}, {Op: "query", Status: 503, Counted: true}, {Op: "query", Status: 400, Code: "QUERY_TIMEOUT", Counted: true}}
	if len(infos) != len(want) {
		t.Fatalf("%+v", infos)
	}
	for i, got := range infos {
		if got.Duration <= 0 {
			t.Errorf("%+v took no time", got)
		}
		if got.Date.IsZero() != (got.Status >= 400) {
			t.Errorf("call %d: date %v", i, got.Date)
		}
		usage := got.Usage
		got.Duration, got.Usage, got.Date = 0, Usage{}, time.Time{}
		if got != want[i] {
			t.Errorf("call %d: %+v, want %+v", i, got, want[i])
		}
		if (usage.Used == 25) != (i == 2) {
			t.Errorf("call %d: usage %+v", i, usage)
		}
	}
	if u := c.Usage(); u.Used != 25 || u.Max != 15000 || u.At.IsZero() {
		t.Errorf("usage %+v", u)
	}
}

func TestServerClock(t *testing.T) {
	t.Parallel()
	clock := newClock()
	ahead := clock.Now().Add(42 * time.Second)
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", ahead.Format(http.TimeFormat))
		io.WriteString(w, okQuery)
	})
	config := s.config()
	config.Now = clock.Now
	c := newClient(t, config)
	if _, known := c.ServerClock(); known {
		t.Error("known before any answer")
	}
	page, err := c.Query(context.Background(), "SELECT Id FROM Task", QueryOptions{})
	if err != nil || !page.ServerTime.Equal(ahead) {
		t.Errorf("ServerTime %v, %v", page.ServerTime, err)
	}
	for range 2 { // the login's answer had another Date
		if err := query(c); err != nil {
			t.Fatal(err)
		}
	}
	if offset, known := c.ServerClock(); !known || offset != 42500*time.Millisecond {
		t.Errorf("offset %v, %t", offset, known)
	}
}
