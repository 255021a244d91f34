package mapping

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// collected reads lines as the stories have them: "12:00:00 view URL from REFERRER", and "visit" before a visit.
func collected(t *testing.T, lines string) (events []Event, visits []Visit) {
	t.Helper()
	s := story{t: t}
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		words := strings.Fields(line)
		if words[0] == "visit" {
			words = append(words[1:2:2], append([]string{"2026-11-23", words[2], "2026-11-23", words[3]}, words[4:]...)...)
			visits = append(visits, s.visit(words))
		} else {
			events = append(events, s.event(append([]string{"2026-11-23"}, words...)))
		}
	}
	return events, visits
}

// outline shows sessions as "12:00-12:05 2 views".
func outline(sessions []Session) string {
	var parts []string
	for _, x := range sessions {
		layout := "15:04"
		if x.EndedAt.Second() != 0 || x.EndedAt.Nanosecond() != 0 {
			layout = "15:04:05.999"
		}
		parts = append(parts, fmt.Sprintf("%s-%s %d", x.StartedAt.Format("15:04"), x.EndedAt.Format(layout), x.PageViews))
	}
	return strings.Join(parts, "; ")
}

func TestSessionRules(t *testing.T) {
	t.Parallel()
	const first = "12:00:00 view https://www.example.com/ from https://www.google.com/\n"
	for _, test := range []struct{ name, lines, want string }{
		{"a gap of less than 30 minutes", first + "12:29:59 view https://www.example.com/a", "12:00-12:29:59 2"},
		{"a gap of 30 minutes", first + "12:30:00 view https://www.example.com/a", "12:00-12:00 1; 12:30-12:30 1"},
		{"the gap counts from the last activity", first + "12:20:00 view https://www.example.com/a\n12:45:00 view https://www.example.com/b", "12:00-12:45 3"},
		{"1 own site", first + "12:10:00 view https://www.example.com/a from https://www.example.com/", "12:00-12:10 2"},
		{"1 own site, other host", first + "12:10:00 view https://www.example.com/a from https://shop.example.com/?utm_source=x", "12:00-12:10 2"},
		{"1 own site wins over tags", first + "12:10:00 view https://www.example.com/?utm_source=banner from https://www.example.com/", "12:00-12:10 2"},
		{"1 own domain", first + "12:10:00 view https://www.example.com/a from https://www.example-shop.net/", "12:00-12:10 2"},
		{"1 not an own domain", first + "12:10:00 view https://www.example.com/a from https://notexample-shop.net/", "12:00-12:00 1; 12:10-12:10 1"},
		{"1 public suffix is no site", "12:00:00 view https://a.co.uk/ from https://www.google.com/\n12:10:00 view https://a.co.uk/ from https://b.co.uk/", "12:00-12:00 1; 12:10-12:10 1"},
		{"1 sign-in", first + "12:10:00 view https://www.example.com/a from https://accounts.google.com/o/oauth2", "12:00-12:10 2"},
		{"1 ignored referrer", first + "12:10:00 view https://www.example.com/a from https://pay.example.net/done", "12:00-12:10 2"},
		{"2 the same view again", first + "12:05:00 view https://www.example.com/a\n12:10:00 view https://www.example.com/ from https://www.google.com/", "12:00-12:10 3"},
		{"2 with tags, fragment aside", "12:00:00 view https://www.example.com/?gclid=1#top from https://www.google.com/\n12:05:00 view https://www.example.com/a from https://www.example.com/\n12:10:00 view https://www.example.com/?gclid=1#end from https://www.google.com/", "12:00-12:10 3"},
		{"3 new tags without a referrer", first + "12:10:00 view https://www.example.com/?utm_source=mail", "12:00-12:00 1; 12:10-12:10 1"},
		{"3 new tags win over the same referrer", first + "12:10:00 view https://www.example.com/?gclid=2 from https://www.google.com/", "12:00-12:00 1; 12:10-12:10 1"},
		{"3 the same tags are not new", "12:00:00 view https://www.example.com/?utm_source=mail\n12:10:00 view https://www.example.com/a?utm_source=mail", "12:00-12:10 2"},
		{"3 other parameters are no tags", first + "12:10:00 view https://www.example.com/?page=2", "12:00-12:10 2"},
		{"3 every parameter counts", "12:00:00 view https://www.example.com/?utm_source=mail&utm_term=a\n12:10:00 view https://www.example.com/?utm_source=mail&utm_term=b", "12:00-12:00 1; 12:10-12:10 1"},
		{"3 Marketo's own tag", first + "12:10:00 view https://www.example.com/?_bf=1", "12:00-12:00 1; 12:10-12:10 1"},
		{"2 other tags in the fragment", "12:00:00 view https://www.example.com/\n12:10:00 view https://www.example.com/#utm_source=x", "12:00-12:00 1; 12:10-12:10 1"},
		{"2 the same tags in the fragment", "12:00:00 view https://www.example.com/#utm_source=x\n12:05:00 view https://www.example.com/a\n12:10:00 view https://www.example.com/#utm_source=x", "12:00-12:10 3"},
		{"3 gad_source", first + "12:10:00 view https://www.example.com/lp?gad_source=1&gad_campaignid=123 from https://www.google.com/", "12:00-12:00 1; 12:10-12:10 1"},
		{"3 gad_campaignid", first + "12:10:00 view https://www.example.com/lp?gad_campaignid=123", "12:00-12:00 1; 12:10-12:10 1"},
		{"3 the tags of a form's page are seen", first + "12:05:00 form https://www.example.com/?utm_source=x\n12:10:00 view https://www.example.com/a?utm_source=x", "12:00-12:10 2"},
		{"3 escapes of a tag do not matter", "12:00:00 view https://www.example.com/?utm_source=mail\n12:10:00 view https://www.example.com/a?utm_source[]=m%61il", "12:00-12:10 2"},
		{"4 about is no referrer", first + "12:10:00 view https://www.example.com/other from about:blank", "12:00-12:10 2"},
		{"4 nor is what cannot be read", first + "12:10:00 view https://www.example.com/other from http://[::1", "12:00-12:10 2"},
		{"6 an intranet is a referrer", first + "12:10:00 view https://www.example.com/other from http://intranet/wiki", "12:00-12:00 1; 12:10-12:10 1"},
		{"4 direct never splits", first + "12:10:00 view https://www.example.com/other", "12:00-12:10 2"},
		{"4 null is no referrer", first + "12:10:00 view https://www.example.com/other from null", "12:00-12:10 2"},
		{"5 single-page app", first + "12:10:00 view https://www.example.com/app from https://www.google.com/", "12:00-12:10 2"},
		{"5 looks at the previous view only", first + "12:05:00 view https://www.example.com/a\n12:10:00 view https://www.example.com/b from https://www.google.com/", "12:00-12:05 2; 12:10-12:10 1"},
		{"5 looks no further than the session", first + "13:00:00 form https://www.example.com/contact\n13:01:00 view https://www.example.com/ from https://www.google.com/", "12:00-12:00 1; 13:00-13:00 0; 13:01-13:01 1"},
		{"6 external referrer", first + "12:10:00 view https://www.example.com/ from https://www.linkedin.com/", "12:00-12:00 1; 12:10-12:10 1"},
		{"6 old tags do not hold it back", "12:00:00 view https://www.example.com/?utm_source=mail\n12:10:00 view https://www.example.com/?utm_source=mail from https://www.bing.com/", "12:00-12:00 1; 12:10-12:10 1"},
		{"a form is activity", first + "12:20:00 form https://www.example.com/contact\n12:45:00 view https://www.example.com/thanks", "12:00-12:45 2"},
		{"a form never splits", first + "12:10:00 form https://www.example.com/?utm_source=x", "12:00-12:10 1"},
		{"an id mapping is no activity", first + "12:20:00 map https://www.example.com/\n12:45:00 view https://www.example.com/a", "12:00-12:00 1; 12:45-12:45 1"},
		{"repeats count once", first + first + "12:05:00 view https://www.example.com/a\n12:05:00 view https://www.example.com/a", "12:00-12:05 2"},
		{"another page is no repeat", first + "12:05:00 view https://www.example.com/a\n12:05:00 view https://www.example.com/b", "12:00-12:05 3"},
		{"another sequence is no repeat", first + "12:05:00 view https://www.example.com/a sequence=1\n12:05:00 view https://www.example.com/a sequence=2", "12:00-12:05 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := Default()
			s.OwnDomains, s.IgnoredReferrers = []string{"Example-Shop.net"}, []string{"pay.example.net"}
			events, visits := collected(t, test.lines)
			if got := outline(s.Sessions("v1", events, visits)); got != test.want {
				t.Errorf("sessions %s; want %s", got, test.want)
			}
		})
	}
}

func TestFinishedVisits(t *testing.T) {
	t.Parallel()
	const visit = "visit s1 12:00:00 12:10:00 3 https://www.example.com/ from https://www.google.com/\n"
	for _, test := range []struct{ name, lines, want string }{
		{"alone", visit, "12:00-12:10 3"},
		{"absorbs its events, both ends", visit + "12:00:00 view https://www.example.com/ from https://www.google.com/\n12:05:00 view https://www.example.com/a from https://www.bing.com/\n12:10:00 view https://www.example.com/b?utm_source=x", "12:00-12:10 3"},
		{"goes on with later events", visit + "12:20:00 view https://www.example.com/b", "12:00-12:20 4"},
		{"ends where an external referrer begins", visit + "12:20:00 view https://www.example.com/b from https://www.bing.com/", "12:00-12:10 3; 12:20-12:20 1"},
		{"ends the session before it", "11:50:00 view https://www.example.com/\n12:05:00 view https://www.example.com/a\n" + visit, "11:50-11:50 1; 12:00-12:10 3"},
		{"the later end wins", visit + "visit s1 12:00:00 12:15:00 2 https://www.example.com/\n" + visit, "12:00-12:15 2"},
		{"then the larger number of views", visit + "visit s1 12:00:00 12:10:00 5 https://www.example.com/", "12:00-12:10 5"},
		{"goes on with its own tags", "visit s1 12:00:00 12:10:00 3 https://www.example.com/?utm_source=x\n12:20:00 view https://www.example.com/?utm_source=x", "12:00-12:20 4"},
		{"goes on with what it absorbed", visit + "12:05:00 view https://www.example.com/a?gclid=1 from https://www.bing.com/\n12:20:00 view https://www.example.com/a?gclid=1 from https://www.bing.com/", "12:00-12:20 4"},
		{"the longer of two absorbs", "visit s1 12:00:00 12:40:00 3 https://www.example.com/\nvisit s2 12:05:00 12:10:00 2 https://www.example.com/\n12:30:00 view https://www.example.com/a?gclid=1", "12:00-12:05 3; 12:05-12:10 2"},
		{"overlapping ones are cut", visit + "visit s2 12:05:00 12:20:00 4 https://www.example.com/x", "12:00-12:05 3; 12:05-12:20 4"},
		{"of equal starts the longer is last", "visit s1 12:00:00 12:20:00 3 https://www.example.com/\nvisit s2 12:00:00 12:10:00 2 https://www.example.com/b", "12:00-12:00 2; 12:00-12:20 3"},
		{"of equal starts the longer is last, either way", "visit s2 12:00:00 12:20:00 3 https://www.example.com/\nvisit s1 12:00:00 12:10:00 2 https://www.example.com/b", "12:00-12:00 2; 12:00-12:20 3"},
		{"the tags of its form's page are seen", "visit s1 12:00:00 12:10:00 3 https://www.example.com/ form https://www.example.com/f?utm_source=x\n12:20:00 view https://www.example.com/?utm_source=x", "12:00-12:20 4"},
		{"an end before the start", "visit s1 12:00:00 11:00:00 1 https://www.example.com/", "12:00-12:00 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			events, visits := collected(t, test.lines)
			if got := outline(Default().Sessions("v1", events, visits)); got != test.want {
				t.Errorf("sessions %s; want %s", got, test.want)
			}
		})
	}
}

// A visit without details takes them from the events that it absorbs.
func TestVisitTakesDetails(t *testing.T) {
	t.Parallel()
	events, visits := collected(t, `visit s1 12:00:00 12:10:00 3 https://www.example.com/
		12:04:00 form https://www.example.com/contact agent=Firefox/1 geo=Seattle/Washington/US`)
	x := Default().Sessions("v1", events, visits)[0]
	if x.FormURL != "https://www.example.com/contact" || x.FormAt != events[0].At || x.UserAgent != "Firefox/1" || x.Geo.City != "Seattle" {
		t.Errorf("got %+v", x)
	}
}

// A visit whose form has no time had it at its end at the latest; without a form it has no time of one.
func TestVisitForm(t *testing.T) {
	t.Parallel()
	v := Visit{SessionID: "s", Visitor: "v1", StartedAt: at("12:00:00"), EndedAt: at("12:10:00"), FormURL: "https://www.example.com/contact"}
	if x := Default().Sessions("v1", nil, []Visit{v})[0]; !x.FormAt.Equal(at("12:10:00")) {
		t.Errorf("form at %s", x.FormAt)
	}
	v.FormAt = at("12:03:00")
	if x := Default().Sessions("v1", nil, []Visit{v})[0]; !x.FormAt.Equal(at("12:03:00")) {
		t.Errorf("form at %s", x.FormAt)
	}
	v.FormURL = ""
	if x := Default().Sessions("v1", nil, []Visit{v})[0]; !x.FormAt.IsZero() {
		t.Errorf("no form, at %s", x.FormAt)
	}
}

// Of repeats that differ elsewhere the same one counts in any order: one with a referrer, then
// one with a place, then the smaller.
func TestRepeatsInAnyOrder(t *testing.T) {
	t.Parallel()
	e := view("12:00:00", "https://www.example.com/")
	e.Referrer = ""
	place := Geo{City: "Seattle"}
	best := e
	best.Referrer, best.Geo = "https://a.example/", place
	for _, other := range []Event{
		e,
		{Referrer: "https://a.example/"},
		{Geo: place},
		{Referrer: "https://b.example/", Geo: place},
		{Referrer: "https://a.example/", Geo: Geo{City: "Tacoma"}},
		{Referrer: "https://a.example/", Geo: place, UserAgent: "x"},
	} {
		other.Kind, other.At, other.URL, other.Visitor = e.Kind, e.At, e.URL, e.Visitor
		for _, events := range [][]Event{{best, other}, {other, best}} {
			x := Default().Sessions("v1", events, nil)
			if len(x) != 1 || x[0].PageViews != 1 || x[0].Referrer != best.Referrer || x[0].Geo != place || x[0].UserAgent != "" {
				t.Errorf("beside %+v: %+v", other, x)
			}
		}
		if CompareRepeats(&best, &other) >= 0 || CompareRepeats(&other, &best) <= 0 {
			t.Errorf("%+v does not come after", other)
		}
	}
}

// What names no referrer is empty in every output, and blanks around URLs are gone.
func TestTidySessions(t *testing.T) {
	t.Parallel()
	for _, referrer := range []string{"null", "about:blank", " ", "http://[::1", "\u200b"} {
		e := view("12:00:00", " https://www.example.com/\t")
		e.Referrer = referrer
		v := Visit{SessionID: "s", StartedAt: at("14:00:00"), EndedAt: at("14:00:00"), LandingPage: "https://www.example.com/ ", Referrer: referrer, FormURL: " https://www.example.com/f "}
		x := Default().Sessions("v1", []Event{e}, []Visit{v})
		if len(x) != 2 || x[0].Referrer != "" || x[1].Referrer != "" || x[0].LandingPage != "https://www.example.com/" ||
			x[1].LandingPage != "https://www.example.com/" || x[1].FormURL != "https://www.example.com/f" {
			t.Errorf("%q: %+v", referrer, x)
		}
	}
}

// A view and a form of the same page at the same time are two things.
func TestViewAndForm(t *testing.T) {
	t.Parallel()
	e := view("12:00:00", "https://www.example.com/contact")
	f := e
	f.Kind = Form
	x := Default().Sessions("v1", []Event{f, e}, nil)
	if len(x) != 1 || x[0].PageViews != 1 || x[0].FormURL == "" {
		t.Errorf("got %+v", x)
	}
}

func TestSessionID(t *testing.T) {
	t.Parallel()
	s := Default()
	events, _ := collected(t, "12:00:00 view https://www.example.com/\n12:05:00 view https://www.example.com/a")
	id := s.Sessions("v1", events[:1], nil)[0].ID
	if later := s.Sessions("v1", events, nil)[0].ID; later != id {
		t.Errorf("the id changed with a later event: %s, %s", id, later)
	}
	if other := s.Sessions("v2", events, nil)[0].ID; other == id {
		t.Error("another visitor's session has the same id")
	}
	if other := s.Sessions("v1", events[1:], nil)[0].ID; other == id {
		t.Error("a session with another first event has the same id")
	}
}

// The same events in any order and with any repeats give the same sessions.
func TestSessionsAnyOrder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for range 300 {
		seed++
		rnd := rand.New(rand.NewPCG(seed, 0))
		j := randomJourney(rnd)
		want := Default().Sessions("v1", j.Events, j.Visits)
		events, visits := shuffled(rnd, j.Events), shuffled(rnd, j.Visits)
		if diff := cmp.Diff(want, Default().Sessions("v1", events, visits)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		checkSessions(t, want, seed)
	}
}

// checkSessions checks what holds for all sessions of a visitor.
func checkSessions(t *testing.T, sessions []Session, seed uint64) {
	t.Helper()
	ids := make(map[string]bool)
	for i, x := range sessions {
		if x.EndedAt.Before(x.StartedAt) || ids[x.ID] {
			t.Fatalf("seed %d: session %d of %s ends before it starts, or has an id twice", seed, i, x.StartedAt)
		}
		ids[x.ID] = true
		if i+1 < len(sessions) && (x.EndedAt.After(sessions[i+1].StartedAt) || !x.Cut.Equal(sessions[i+1].StartedAt)) {
			t.Fatalf("seed %d: session %d overlaps the next", seed, i)
		}
	}
}

// shuffled returns a list in another order, with some of it repeated.
func shuffled[T any](rnd *rand.Rand, list []T) []T {
	out := append([]T(nil), list...)
	for range rnd.IntN(1 + len(list)) {
		out = append(out, list[rnd.IntN(len(list))])
	}
	rnd.Shuffle(len(out), func(a, b int) { out[a], out[b] = out[b], out[a] })
	return out
}

// randomJourney has few different times, pages and referrers, so that all combinations occur.
func randomJourney(rnd *rand.Rand) Journey {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	j := Journey{Visitor: "v1", Now: start.AddDate(0, 0, 2), Earliest: start.Add(-time.Hour)}
	minute := func() time.Time { return start.Add(time.Duration(rnd.IntN(40)) * 5 * time.Minute) }
	for range rnd.IntN(12) {
		j.Events = append(j.Events, Event{
			Kind: EventKind(pick("view", "view", "view", "form", "map")), Visitor: "v1", At: minute(),
			URL:       "https://www.example.com/" + pick("", "a", "?gclid=1", "?utm_source=x", "#utm_source=y"),
			Referrer:  pick("", "https://www.google.com/", "https://www.example.com/", "https://www.linkedin.com/"),
			UserAgent: pick("", "Firefox/1"), Sequence: int64(rnd.IntN(2)),
		})
	}
	for i := range rnd.IntN(3) {
		at := minute()
		j.Visits = append(j.Visits, Visit{
			SessionID: fmt.Sprint("s", i%2), Visitor: "v1", StartedAt: at, EndedAt: at.Add(time.Duration(rnd.IntN(4)) * 5 * time.Minute),
			LandingPage: "https://www.example.com/visit", PageViews: rnd.IntN(3), Referrer: pick("", "https://t.co/x"), FormURL: pick("", "https://www.example.com/form"),
		})
	}
	for i := range rnd.IntN(6) {
		id := fmt.Sprintf("00T%012dAAA", i)
		c := Call{TaskID: id, Visitor: "v1", At: minute().Add(time.Duration(rnd.IntN(3)-1) * 30 * time.Second), Fields: map[string]any{"Id": id, "Type": pick("", "Call")}}
		c.Deleted, c.Written = rnd.IntN(6) == 0, rnd.IntN(2) == 0
		j.Calls = append(j.Calls, c)
	}
	return j
}
