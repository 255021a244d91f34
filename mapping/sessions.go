package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sessions derives a visitor's sessions from what was collected, by start. The same events
// and visits, in any order and with any repeats, give the same sessions. Only raw values are
// filled in; Resolve adds the rest.
func (s *Settings) Sessions(visitor string, events []Event, visits []Visit) []Session {
	b := sessionizer{s: s, visitor: visitor, sites: siteCache{}}
	timeline, finished := activity(tidied(events)), latestVisits(visits)
	for len(timeline) > 0 || len(finished) > 0 {
		// A visit that starts with an event comes first, and so absorbs it.
		if len(timeline) == 0 || len(finished) > 0 && !finished[0].StartedAt.After(timeline[0].At) {
			b.visit(finished[0])
			finished = finished[1:]
		} else {
			b.event(timeline[0])
			timeline = timeline[1:]
		}
	}
	for i := range b.list[:max(len(b.list)-1, 0)] {
		this, next := &b.list[i], b.list[i+1].StartedAt
		this.Cut = next
		if this.EndedAt.After(next) {
			this.EndedAt = next
		}
	}
	return b.list
}

// tidied returns page views and forms with their URLs as they are compared and shown.
func tidied(events []Event) []Event {
	list := make([]Event, 0, len(events))
	for _, e := range events {
		if e.Kind == View || e.Kind == Form {
			e.URL, e.Referrer = tidyURL(e.URL), tidyReferrer(e.Referrer)
			list = append(list, e)
		}
	}
	return list
}

// CompareRepeats orders two reports of one event, the one to keep first: one with a referrer,
// then one with a place, then the smaller by the rest. The result does not depend on which
// report arrived first.
func CompareRepeats(a, b *Event) int {
	return cmp.Or(
		compareBool(b.Referrer != "", a.Referrer != ""),
		compareBool(b.Geo != Geo{}, a.Geo != Geo{}),
		strings.Compare(a.Referrer, b.Referrer),
		strings.Compare(a.Geo.Country, b.Geo.Country),
		strings.Compare(a.Geo.Region, b.Geo.Region),
		strings.Compare(a.Geo.City, b.Geo.City),
		strings.Compare(a.UserAgent, b.UserAgent),
		strings.Compare(a.Title, b.Title),
		strings.Compare(b.FormName, a.FormName),
		compareBool(b.Consent, a.Consent),
	)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// activity returns page views and forms in order of time, without repeats. The sort begins with
// the fields that identify an event; the rest makes the choice among repeats deterministic.
func activity(events []Event) []*Event {
	list := make([]*Event, 0, len(events))
	for i := range events {
		list = append(list, &events[i])
	}
	slices.SortFunc(list, func(a, b *Event) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return cmp.Or(
			cmp.Compare(a.Sequence, b.Sequence),
			-strings.Compare(string(a.Kind), string(b.Kind)), // view before form
			strings.Compare(a.URL, b.URL),
			CompareRepeats(a, b),
		)
	})
	return slices.CompactFunc(list, func(a, b *Event) bool {
		return a.At.Equal(b.At) && a.Sequence == b.Sequence && a.Kind == b.Kind && a.URL == b.URL
	})
}

// CompareVisits orders two reports of one finished session, the one to keep first.
func CompareVisits(a, b *Visit) int {
	return cmp.Or(
		b.EndedAt.Compare(a.EndedAt),
		cmp.Compare(b.PageViews, a.PageViews),
		a.StartedAt.Compare(b.StartedAt),
		strings.Compare(b.LandingPage, a.LandingPage),
		strings.Compare(b.Referrer, a.Referrer),
		strings.Compare(b.FormURL, a.FormURL),
		b.FormAt.Compare(a.FormAt),
		strings.Compare(b.FormName, a.FormName),
		strings.Compare(b.UserAgent, a.UserAgent),
		strings.Compare(b.Geo.Country, a.Geo.Country),
		strings.Compare(b.Geo.Region, a.Geo.Region),
		strings.Compare(b.Geo.City, a.Geo.City),
	)
}

// latestVisits returns the report to keep of every finished session, by start. Of equal starts
// the longer comes last.
func latestVisits(visits []Visit) []Visit {
	list := slices.Clone(visits)
	for i := range list {
		v := &list[i]
		if v.EndedAt.Before(v.StartedAt) {
			v.EndedAt = v.StartedAt
		}
		v.LandingPage, v.Referrer, v.FormURL = tidyURL(v.LandingPage), tidyReferrer(v.Referrer), tidyURL(v.FormURL)
	}
	slices.SortFunc(list, func(a, b Visit) int {
		return cmp.Or(strings.Compare(a.key(), b.key()), CompareVisits(&a, &b))
	})
	list = slices.CompactFunc(list, func(a, b Visit) bool { return a.key() == b.key() })
	slices.SortStableFunc(list, func(a, b Visit) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), a.EndedAt.Compare(b.EndedAt))
	})
	return list
}

// key identifies a visit; one without a SessionID is identified by its start.
func (v *Visit) key() string {
	if v.SessionID != "" {
		return "s " + v.SessionID
	}
	return "t " + strconv.FormatInt(v.StartedAt.UnixMilli(), 10)
}

// sessionizer walks through a visitor's activity in order of time.
type sessionizer struct {
	s       *Settings
	visitor string
	sites   siteCache
	list    []Session

	// Of the session that is open, the last of list:
	seen     map[pageView]bool // what was viewed in it
	tags     map[string]bool   // the campaign tags it has seen
	previous string            // the last view's referrer
	busy     time.Time         // finished visits reach to here, and absorb what lies before
}

// pageView identifies a view that a reload, the Back button or a second tab repeats.
type pageView struct{ url, referrer, tags string }

func newPageView(url, referrer string) pageView {
	return pageView{withoutFragment(url), referrer, campaignTags(url)}
}

func (b *sessionizer) visit(v Visit) {
	formURL, formAt := v.FormURL, v.FormAt
	switch {
	case formURL == "":
		formAt = time.Time{}
	case formAt.IsZero():
		formAt = v.EndedAt // that there was a form is known, when is not
	}
	b.open(Session{
		ID:        hashID(b.visitor, v.key()),
		StartedAt: v.StartedAt, EndedAt: v.EndedAt,
		PageViews: v.PageViews, LandingPage: v.LandingPage, Referrer: v.Referrer,
		FormURL: formURL, FormAt: formAt, FormName: v.FormName,
		UserAgent: v.UserAgent, Geo: v.Geo,
	})
	b.note(v.LandingPage, v.Referrer)
	b.noteTags(v.FormURL)
	if v.EndedAt.After(b.busy) {
		b.busy = v.EndedAt
	}
}

func (b *sessionizer) event(e *Event) {
	if !e.At.After(b.busy) && len(b.list) > 0 {
		b.absorb(e)
		return
	}
	if b.starts(e) {
		b.open(Session{
			ID:        hashID(b.visitor, string(e.Kind), strconv.FormatInt(e.At.UnixMilli(), 10), strconv.FormatInt(e.Sequence, 10), e.URL),
			StartedAt: e.At, LandingPage: e.URL, Referrer: e.Referrer,
		})
	}
	this := &b.list[len(b.list)-1]
	this.EndedAt = e.At
	this.fill(e)
	if e.Kind == View {
		this.PageViews++
	}
	b.noteEvent(e)
}

// absorb takes from an event within a finished visit only what the visit does not know.
func (b *sessionizer) absorb(e *Event) {
	b.list[len(b.list)-1].fill(e)
	b.noteEvent(e)
}

// noteEvent remembers a view, and of a form the tags of its page.
func (b *sessionizer) noteEvent(e *Event) {
	if e.Kind == View {
		b.note(e.URL, e.Referrer)
		return
	}
	b.noteTags(e.URL)
}

// fill adds what the session does not know yet.
func (x *Session) fill(e *Event) {
	if e.Kind == Form && x.FormURL == "" {
		x.FormURL, x.FormAt, x.FormName = e.URL, e.At, e.FormName
	}
	if x.UserAgent == "" {
		x.UserAgent = e.UserAgent
	}
	if x.Geo == (Geo{}) {
		x.Geo = e.Geo
	}
}

func (b *sessionizer) open(x Session) {
	b.list = append(b.list, x)
	b.previous = ""
	// Clearing a map costs what it once held, so a large one is not used again.
	if b.seen == nil || len(b.seen) > 64 {
		b.seen, b.tags = make(map[pageView]bool), make(map[string]bool)
		return
	}
	clear(b.seen)
	clear(b.tags)
}

// note remembers a view for the rules that look back within the session.
func (b *sessionizer) note(url, referrer string) {
	view := newPageView(url, referrer)
	b.seen[view] = true
	if view.tags != "" {
		b.tags[view.tags] = true
	}
	b.previous = referrer
}

func (b *sessionizer) noteTags(url string) {
	if tags := campaignTags(url); tags != "" {
		b.tags[tags] = true
	}
}

// starts decides whether an event begins a new session: the first rule that applies.
func (b *sessionizer) starts(e *Event) bool {
	if len(b.list) == 0 || e.At.Sub(b.list[len(b.list)-1].EndedAt) >= b.s.SessionTimeout {
		return true
	}
	if e.Kind == Form {
		return false // a form has no referrer
	}
	class := b.s.siteClass(b.sites, hostOf(e.Referrer), hostOf(e.URL))
	if class == ownSite || class == signIn {
		return false
	}
	view := newPageView(e.URL, e.Referrer)
	if b.seen[view] {
		return false
	}
	if view.tags != "" && !b.tags[view.tags] {
		return true
	}
	return class != noReferrer && e.Referrer != b.previous
}

// hashID returns an id that is a hash of the parts.
func hashID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p))))
		h.Write([]byte{':'})
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
