package collector

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"callpoint/mapping"
)

// Limits of single values, in bytes.
const (
	maxID    = 255
	maxURL   = 32 << 10
	maxForm  = 255 // the name of a form
	maxTitle = 1 << 10
	maxAgent = 1 << 10
	maxGeo   = 255
)

// decoder turns records into events and sessions: checked, scrubbed, times in UTC milliseconds.
type decoder struct {
	cfg   Config // with defaults
	scrub *scrubber
	bots  *botCache
}

func newDecoder(cfg Config) *decoder {
	return &decoder{cfg: cfg, scrub: newScrubber(cfg.Scrub), bots: newBotCache()}
}

// event checks r as an event that happened at at.
func (d *decoder) event(r *raw, at time.Time) (e mapping.Event, err error) {
	switch r.kind {
	case "", string(mapping.View):
		e.Kind = mapping.View
	case string(mapping.Form):
		e.Kind = mapping.Form
	case string(mapping.IDMap):
		e.Kind = mapping.IDMap
	default:
		return e, reject("type", badValue, fmt.Sprintf("neither view nor form: %q", clip(r.kind)))
	}
	if e.Visitor, err = visitor(r.visitor); err != nil {
		return e, err
	}
	if r.consent == "false" {
		return e, reject("consent", noConsent, "the visitor refused: not stored")
	}
	e.Consent = r.consent == "true"
	if err := d.plausible("at", at); err != nil {
		return e, err
	}
	e.At = at
	if e.URL, err = d.page("url", r.url); err != nil {
		return e, err
	}
	if e.Referrer, err = d.referrer(r.referrer); err != nil {
		return e, err
	}
	if e.Sequence, err = whole("sequence", r.sequence); err != nil {
		return e, err
	}
	e.Title = d.scrub.text(cut(oneLine(r.title), maxTitle))
	if e.Kind == mapping.Form {
		e.FormName = d.formName(r)
	}
	e.UserAgent = cut(oneLine(r.agent), maxAgent)
	e.Geo = d.geo(r)
	return e, nil
}

// visit checks r as a session.
func (d *decoder) visit(r *raw) (v mapping.Visit, err error) {
	if v.SessionID, err = id("session_id", r.session); err != nil {
		return v, err
	}
	if v.Visitor, err = visitor(r.visitor); err != nil {
		return v, err
	}
	if v.StartedAt, err = d.when("started_at", r.started); err != nil {
		return v, err
	}
	if v.EndedAt, err = d.when("ended_at", r.ended); err != nil {
		return v, err
	}
	if v.EndedAt.Before(v.StartedAt) {
		return v, reject("ended_at", badTime, "before started_at")
	}
	if v.LandingPage, err = d.page("landing_page", r.landing); err != nil {
		return v, err
	}
	if v.Referrer, err = d.referrer(r.referrer); err != nil {
		return v, err
	}
	if r.formURL != "" {
		if v.FormURL, err = d.page("form_url", r.formURL); err != nil {
			return v, err
		}
		// A form whose time is not given still counts as one: at the start, which
		// stays where it is while the session grows.
		v.FormAt = v.StartedAt
	}
	if v.FormURL != "" {
		v.FormName = d.formName(r)
	}
	if r.formAt != "" {
		if v.FormAt, err = d.when("form_at", r.formAt); err != nil {
			return v, err
		}
		if v.FormAt.Before(v.StartedAt) || v.FormAt.After(v.EndedAt) {
			return v, reject("form_at", badTime, "not between started_at and ended_at")
		}
	}
	n, err := whole("page_views", r.pageViews)
	if err != nil {
		return v, err
	}
	if n < 0 || n > 1<<31-1 {
		return v, reject("page_views", badValue, "not between 0 and 2147483647")
	}
	v.PageViews = int(n)
	v.UserAgent = cut(oneLine(r.agent), maxAgent)
	v.Geo = d.geo(r)
	return v, nil
}

func (d *decoder) formName(r *raw) string { return d.scrub.text(cut(oneLine(r.formName), maxForm)) }

// when reads a time and makes sure that it is plausible.
func (d *decoder) when(key, s string) (time.Time, error) {
	t, err := parseTime(key, s)
	if err != nil {
		return t, err
	}
	return t, d.plausible(key, t)
}

func parseTime(key, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, reject(key, missing, "missing")
	}
	var t time.Time
	// UnmarshalText is strict where time.Parse takes 1:00 for an hour.
	if err := t.UnmarshalText([]byte(s)); err != nil {
		return time.Time{}, reject(key, badTime, fmt.Sprintf("not an RFC 3339 time: %q", clip(s)))
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

func (d *decoder) plausible(key string, t time.Time) error {
	now := d.cfg.Now()
	if t.After(now.Add(maxAhead)) {
		return reject(key, timeAhead, fmt.Sprintf("%s is more than %s ahead of the clock", stamp(t), short(maxAhead)))
	}
	if t.Before(now.Add(-d.cfg.Retention)) {
		return reject(key, timeOld, fmt.Sprintf("%s is older than the retention of %s", stamp(t), short(d.cfg.Retention)))
	}
	return nil
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.999Z07:00") }

// short is a duration without the zero units behind: 10m, 2160h.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func visitor(s string) (string, error) {
	if s == "" {
		return "", reject("bizible_id", missing, "missing")
	}
	v, ok := mapping.VisitorID(s)
	if !ok {
		return "", reject("bizible_id", badID, "not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros")
	}
	return v, nil
}

func id(key, s string) (string, error) {
	switch {
	case s == "":
		return "", reject(key, missing, "missing")
	case len(s) > maxID:
		return "", reject(key, badID, fmt.Sprintf("longer than %d bytes", maxID))
	case hasControl(s):
		return "", reject(key, badID, "has control characters")
	}
	return s, nil
}

// page checks and scrubs the URL of a page.
func (d *decoder) page(key, s string) (string, error) {
	if s == "" {
		return "", reject(key, missing, "missing")
	}
	if err := checkURL(key, s); err != nil {
		return "", err
	}
	// Browsers' URLs can hold what net/url refuses, so look at no more than this.
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") ||
		rest == "" || strings.IndexByte("/?#", rest[0]) >= 0 {
		return "", reject(key, badURL, "not an http or https URL")
	}
	return d.shortURL(s), nil
}

// shortURL scrubs a URL, and cuts one that is too long: it costs parameters, not the page view.
func (d *decoder) shortURL(s string) string {
	return mapping.ShortenURL(d.scrub.url(s), maxURL)
}

// referrer may be anything that a browser sends, such as android-app://… or null.
func (d *decoder) referrer(s string) (string, error) {
	if err := checkURL("referrer", s); err != nil {
		return "", err
	}
	return d.shortURL(s), nil
}

func checkURL(key, s string) error {
	if hasControl(s) {
		return reject(key, badURL, "has control characters")
	}
	return nil
}

func whole(key, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, reject(key, badValue, fmt.Sprintf("not a whole number of 64 bits: %s", clip(s)))
	}
	return n, nil
}

func (d *decoder) geo(r *raw) mapping.Geo {
	if r.geo != (mapping.Geo{}) {
		return mapping.Geo{
			City:    cut(oneLine(r.geo.City), maxGeo),
			Region:  cut(oneLine(r.geo.Region), maxGeo),
			Country: cut(oneLine(r.geo.Country), maxGeo),
		}
	}
	// An address that does not parse ("-", "unknown") costs the place, not the record.
	if addr, err := netip.ParseAddr(r.ip); err == nil {
		return d.locate(addr.Unmap())
	}
	return mapping.Geo{}
}

func (d *decoder) locate(addr netip.Addr) mapping.Geo {
	if d.cfg.Geo == nil || !addr.IsValid() {
		return mapping.Geo{}
	}
	return d.cfg.Geo(addr)
}

func hasControl(s string) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
		ascii = ascii && s[i] < 0x80
	}
	return !ascii && strings.ContainsFunc(s, isControl)
}

// isControl counts the line separators of Unicode among the control characters.
func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// oneLine puts a space in the place of control characters: titles often hold newlines.
func oneLine(s string) string {
	if !hasControl(s) {
		return s
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, s))
}
