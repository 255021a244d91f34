package collector

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
)

func TestEventAsItStandsInTheContract(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const line = `{"type":"view","bizible_id":" DDE5687119cc4928fbf94393ed9f5c35","at":"2026-11-23T13:17:00.1239+02:00",` +
		`"url":"https://www.example.com/?utm_source=google","referrer":"https://www.google.com/","title":"Caf\u00e9 \ud83d\ude00","user_agent":"Safari","ip":"203.0.113.7",` +
		`"geo":{"city":"Seattle","region":"Washington","country":"United States","x":{"y":[1,2]}},"sequence":3,"consent":true,"unknown":[{"a":null}]}`
	status, a := s.post(t, "/v1/events", line)
	if status != 200 || a.Accepted != 1 || a.Repeated != 0 || len(a.Rejected) != 0 {
		t.Fatalf("%d %+v", status, a)
	}
	want := mapping.Event{
		Kind: mapping.View, Visitor: "dde5687119cc4928fbf94393ed9f5c35", At: time.Date(2026, 11, 23, 11, 17, 0, 123e6, time.UTC),
		URL: "https://www.example.com/?utm_source=google", Referrer: "https://www.google.com/", Title: "Café 😀", UserAgent: "Safari",
		Geo: mapping.Geo{City: "Seattle", Region: "Washington", Country: "United States"}, Sequence: 3, Consent: true,
	}
	if got := s.store.one(t); got != want {
		t.Errorf("stored %+v\nwant   %+v", got, want)
	}
}

func TestAnswerText(t *testing.T) {
	t.Parallel()
	s := serve(t)
	body := view() + "\n" + view() + "\n" + view("at", `"yesterday"`) + "\n" + view("sequence", "2")
	resp, text := s.request(t, "POST", "/v1/events", body, "Content-Type", "application/x-ndjson")
	want := `{"accepted":2,"repeated":1,"rejected":[{"line":3,"error":"at: not an RFC 3339 time: \"yesterday\""}],"rejected_total":1}` + "\n"
	if resp.StatusCode != 200 || text != want {
		t.Errorf("%d %s\nwant %s", resp.StatusCode, text, want)
	}
	if _, text := s.request(t, "POST", "/v1/events", view(), "Content-Type", "application/json"); text != `{"accepted":0,"repeated":1,"rejected":[]}`+"\n" {
		t.Errorf("sent again: %s", text)
	}
	st := s.Stats()
	if st.Events != 2 || st.Repeated != 2 || st.Rejected[badTime] != 1 || st.Bodies != 2 || !st.LastReceived.Equal(noon) {
		t.Errorf("stats %+v", st)
	}
}

func TestBodyForms(t *testing.T) {
	t.Parallel()
	a, b, bad := view("sequence", "1"), view("sequence", "2"), `{"type":`
	pretty := strings.NewReplacer(`,"`, ",\n  \"", `{"`, "{\n  \"").Replace(a)
	for _, c := range []struct {
		name, body         string
		accepted, repeated int
		lines              []int // rejected
	}{
		{"object", a, 1, 0, nil},
		{"object on several lines", pretty, 1, 0, nil},
		{"objects on several lines", pretty + "\n" + strings.ReplaceAll(pretty, "1", "1"), 1, 1, nil},
		{"array", "[" + a + "," + b + "]", 2, 0, nil},
		{"array on several lines", "\n[\n" + a + "\n,\n" + b + "\n]\n", 2, 0, nil},
		{"array with a bad element", "[" + a + `,{"type":3},7,"x",[],null,` + b + "]", 2, 0, []int{2, 3, 4, 5, 6}},
		{"array with a comma too many", "[" + a + "," + b + ",]", 2, 0, []int{3}},
		{"array that does not end", "[" + a + "," + b, 2, 0, []int{3}},
		{"array cut inside an element", "[" + a + "," + b[:20], 1, 0, []int{2}},
		{"array without a comma", "[" + a + " " + b + "]", 1, 0, []int{2}},
		{"array with something behind", "[" + a + "] " + b, 1, 0, []int{2}},
		{"array with a huge element", "[" + a + "," + view("x", quote(strings.Repeat("x]}", 100<<10))) + "," + b + "]", 2, 0, []int{2}},
		{"brackets in strings", "[" + view("title", `"]}\"[{"`) + "]", 1, 0, nil},
		{"lines", a + "\n" + b, 2, 0, nil},
		{"lines with CR, blanks and empty ones", "\r\n  " + a + "\r\n\n\t\n" + b + "  \r\n", 2, 0, nil},
		{"first line cut", bad + "\n" + a + "\n" + b, 2, 0, []int{1}},
		{"middle line cut", a + "\n" + bad + "\n" + b, 2, 0, []int{2}},
		{"last line cut", a + "\n" + b + "\n" + a[:30], 2, 0, []int{3}},
		{"first line cut in a string", a[:10] + "\n" + a + "\n" + b, 2, 0, []int{1}},
		{"two objects in a line", a + b + "\n" + b, 1, 0, []int{1}},
		{"byte-order mark", "\ufeff" + a, 1, 0, nil},
		{"the same twice", a + "\n" + a + "\n" + strings.Replace(a, "dde", "DDE", 1), 1, 2, nil},
		{"nulls are absent", view("referrer", "null", "geo", "null", "sequence", "null", "title", "null"), 1, 0, nil},
		{"no type", view("type", ""), 1, 0, nil},
		{"a form", view("type", `"form"`), 1, 0, nil},
		{"escaped key", strings.Replace(a, `"url"`, `"\u0075rl"`, 1), 1, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			status, got := s.post(t, "/v1/events", c.body)
			var lines []int
			for _, r := range got.Rejected {
				lines = append(lines, r.Line)
			}
			if status != 200 || got.Accepted != c.accepted || got.Repeated != c.repeated || fmt.Sprint(lines) != fmt.Sprint(c.lines) {
				t.Errorf("%d %+v, want accepted %d, repeated %d, rejected lines %v", status, got, c.accepted, c.repeated, c.lines)
			}
			if s.store.calls != 1 || s.store.handed != c.accepted || s.store.count() != c.accepted {
				t.Errorf("%d calls of Add with %d records, %d stored", s.store.calls, s.store.handed, s.store.count())
			}
		})
	}
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	lines := view() + "\n" + view("sequence", "2")
	for name, c := range map[string]struct{ encoding, body string }{
		"plain":               {"", lines},
		"identity":            {"identity", lines},
		"gzip":                {"gzip", gzipped(lines)},
		"GZIP":                {"GZIP", gzipped(lines)},
		"two gzip members":    {"gzip", gzipped(view()+"\n") + gzipped(view("sequence", "2"))},
		"zstd":                {"zstd", zstded(lines)},
		"two zstd frames":     {"zstd", zstded(view()+"\n") + zstded(view("sequence", "2"))},
		"array inside a gzip": {"gzip", gzipped("[" + view() + "," + view("sequence", "2") + "]")},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			if status, a := s.post(t, "/v1/events", c.body, "Content-Encoding", c.encoding); status != 200 || a.Accepted != 2 {
				t.Errorf("%d %+v", status, a)
			}
		})
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := serve(t)
	status, a := s.post(t, "/v1/sessions", sessionLine("form_url", `"https://www.example.com/form?email=jane@example.com"`,
		"form_at", `"2026-11-23T11:05:00Z"`, "referrer", `"https://www.google.com/"`, "user_agent", `"Safari"`, "geo", `{"city":"Seattle"}`))
	if status != 200 || a.Accepted != 1 {
		t.Fatalf("%d %+v", status, a)
	}
	want := mapping.Visit{
		SessionID: "s1", Visitor: "dde5687119cc4928fbf94393ed9f5c35", StartedAt: noon.Add(-time.Hour), EndedAt: noon.Add(-50 * time.Minute),
		LandingPage: "https://www.example.com/", Referrer: "https://www.google.com/", FormURL: "https://www.example.com/form?email=scrubbed",
		FormAt: noon.Add(-55 * time.Minute), PageViews: 3, UserAgent: "Safari", Geo: mapping.Geo{City: "Seattle"},
	}
	if got := s.store.visit(t); got != want {
		t.Errorf("stored %+v\nwant   %+v", got, want)
	}
	// Sent again it is a repeat, grown it is new.
	grown := sessionLine("ended_at", `"2026-11-23T11:20:00Z"`, "page_views", "4")
	if _, a := s.post(t, "/v1/sessions", grown); a.Accepted != 1 || a.Repeated != 0 {
		t.Errorf("grown: %+v", a)
	}
	if _, a := s.post(t, "/v1/sessions", grown); a.Accepted != 0 || a.Repeated != 1 {
		t.Errorf("again: %+v", a)
	}
	if st := s.Stats(); st.Visits != 2 || st.Events != 0 || st.Repeated != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestSessionsOfOneBody(t *testing.T) {
	t.Parallel()
	early := sessionLine()
	late := sessionLine("ended_at", `"2026-11-23T11:30:00Z"`, "page_views", "1")
	more := sessionLine("ended_at", `"2026-11-23T11:30:00Z"`, "page_views", "9")
	for _, order := range [][]string{{early, late, more}, {more, late, early}, {late, more, early}} {
		s := serve(t)
		if _, a := s.post(t, "/v1/sessions", strings.Join(order, "\n")); a.Accepted != 1 || a.Repeated != 2 {
			t.Errorf("%+v", a)
		}
		if v := s.store.visit(t); v.PageViews != 9 || !v.EndedAt.Equal(noon.Add(-30*time.Minute)) {
			t.Errorf("kept %+v", v)
		}
	}
}

// A URL that is too long costs parameters, not the page view.
func TestLongURLsAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 40000)
	s := serve(t)
	page := "https://www.example.com/a?session=" + long + "&utm_source=google&gclid=1"
	s.post(t, "/v1/events", view("url", quote(page), "referrer", quote("https://www.google.com/search?q="+long)))
	s.request(t, "POST", "/m/ipv", browserQuery("_biz_l", page, "_biz_u", "other"))
	s.post(t, "/v1/sessions", sessionLine("landing_page", quote(page), "form_url", quote(page)))
	const want = "https://www.example.com/a?utm_source=google&gclid=1"
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if len(s.store.events) != 2 || len(s.store.visits) != 1 {
		t.Fatalf("%d events, %d visits", len(s.store.events), len(s.store.visits))
	}
	for _, e := range s.store.events {
		if e.URL != want || e.Referrer != "https://www.google.com/search" && e.Referrer != "https://www.google.com/" {
			t.Errorf("stored %.200q from %.200q", e.URL, e.Referrer)
		}
	}
	for _, v := range s.store.visits {
		if v.LandingPage != want || v.FormURL != want {
			t.Errorf("stored %.200q, form %.200q", v.LandingPage, v.FormURL)
		}
	}
}

// The name of a form is kept, and not what it says of a person.
func TestFormName(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.request(t, "POST", "/m/frm", browserQuery("_biz_f", "Request a demo"))
	s.post(t, "/v1/events", view("type", `"form"`, "form_name", `"jane@example.com"`))
	s.post(t, "/v1/events", view("form_name", `"of a view"`))
	s.post(t, "/v1/sessions", sessionLine("form_url", `"https://www.example.com/f"`, "form_name", `"Contact"`))
	var names []string
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for _, e := range s.store.events {
		names = append(names, string(e.Kind)+" "+e.FormName)
	}
	slices.Sort(names)
	if want := []string{"form Request a demo", "form scrubbed", "view "}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	for _, v := range s.store.visits {
		if v.FormName != "Contact" {
			t.Errorf("the session's form is %q", v.FormName)
		}
	}
}

func TestRejectedRecords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 33<<10)
	for _, c := range []struct{ path, line, want string }{
		{"events", view("bizible_id", ""), "bizible_id: missing"},
		{"events", view("bizible_id", `null`), "bizible_id: missing"},
		{"events", view("bizible_id", `"  "`), "bizible_id: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{"events", view("bizible_id", quote(long)), "bizible_id: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{"events", view("bizible_id", `"a\u0000b"`), "bizible_id: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{"events", view("bizible_id", `17`), "bizible_id: not a string"},
		{"events", `{"bizible_id": `, "not JSON: the text ends too early"},
		{"events", `{"consent":`, "not JSON: the text ends too early"},
		{"events", `{"sequence":`, "not JSON: the text ends too early"},
		{"events", `{"geo":`, "not JSON: the text ends too early"},
		{"events", view("at", ""), "at: missing"},
		{"events", view("at", `"2026-11-23"`), `at: not an RFC 3339 time: "2026-11-23"`},
		{"events", view("at", `"2026-11-23T12:00:00"`), `at: not an RFC 3339 time: "2026-11-23T12:00:00"`},
		{"events", view("at", `"2026-02-30T12:00:00Z"`), `at: not an RFC 3339 time: "2026-02-30T12:00:00Z"`},
		{"events", view("at", `1676483822155`), "at: not a string"},
		{"events", view("at", `"2026-11-23T12:10:00.001Z"`), "at: 2026-11-23T12:10:00.001Z is more than 10m ahead of the clock"},
		{"events", view("at", `"2026-08-25T11:59:59.999Z"`), "at: 2026-08-25T11:59:59.999Z is older than the retention of 2160h"},
		{"events", view("url", ""), "url: missing"},
		{"events", view("url", `"www.example.com/"`), "url: not an http or https URL"},
		{"events", view("url", `"https:///path"`), "url: not an http or https URL"},
		{"events", view("url", `"javascript://x"`), "url: not an http or https URL"},
		{"events", view("url", `"https://x/\n"`), "url: has control characters"},
		{"events", view("referrer", `{}`), "referrer: not a string"},
		{"events", view("type", `"click"`), `type: neither view nor form: "click"`},
		{"events", view("sequence", `1.5`), "sequence: not a whole number of 64 bits: 1.5"},
		{"events", view("sequence", `99999999999999999999`), "sequence: not a whole number of 64 bits: 99999999999999999999"},
		{"events", view("sequence", `"1"`), "sequence: not a number"},
		{"events", view("consent", `false`), "consent: the visitor refused: not stored"},
		{"events", view("consent", `"yes"`), "consent: neither true nor false"},
		{"events", view("geo", `"Seattle"`), "geo: not an object"},
		{"events", view("geo", `{"city":1}`), "geo.city: not a string"},
		{"events", `{"url":"https://x/","url":"https://y/"}`, "url: this key stands there twice"},
		{"events", `{"x":1,"\u0078":2}`, "x: this key stands there twice"},
		{"events", `{"x":{"y":1,"y":2}}`, "y: this key stands there twice"},
		{"events", view()[:len(view())-1] + "," + manyKeys(125) + "}", "an object with more than 128 keys"},
		{"events", `[]x`, "not JSON: unexpected 'x' after the array; what follows was not read"},
		{"events", `nonsense`, "not a JSON object"},
		{"events", `{"a":tru}`, "not JSON: unexpected 't' at byte 6"},
		{"events", "{\"title\":\"\xff\"}", "not valid UTF-8"},
		{"events", `{"title":"\ud800"}`, "half a surrogate pair before byte 17"},
		{"events", `{"title":"\ud800\u0041"}`, "half a surrogate pair before byte 23"},
		{"events", "[" + view("x", quote(strings.Repeat("x", 300<<10))) + "]", "longer than 262144 bytes"},
		{"events", view("x", quote(strings.Repeat("x", 300<<10))), "longer than 262144 bytes"},
		{"events", view("bizible_id", `"undefined"`), "bizible_id: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{"events", view("bizible_id", `"00000000"`), "bizible_id: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{"events", view("bizible_id", `"{{biz_uid}}"`), "bizible_id: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{"sessions", sessionLine("session_id", ""), "session_id: missing"},
		{"sessions", sessionLine("session_id", quote(long)), "session_id: longer than 255 bytes"},
		{"sessions", sessionLine("session_id", `"\t"`), "session_id: has control characters"},
		{"sessions", sessionLine("bizible_id", ""), "bizible_id: missing"},
		{"sessions", sessionLine("started_at", ""), "started_at: missing"},
		{"sessions", sessionLine("ended_at", `"2026-11-23T10:59:59Z"`), "ended_at: before started_at"},
		{"sessions", sessionLine("ended_at", `"2026-11-23T13:00:00Z"`), "ended_at: 2026-11-23T13:00:00Z is more than 10m ahead of the clock"},
		{"sessions", sessionLine("landing_page", ""), "landing_page: missing"},
		{"sessions", sessionLine("page_views", `-1`), "page_views: not between 0 and 2147483647"},
		{"sessions", sessionLine("page_views", `2147483648`), "page_views: not between 0 and 2147483647"},
		{"sessions", sessionLine("form_at", `"2026-11-23T11:10:01Z"`), "form_at: not between started_at and ended_at"},
		{"sessions", sessionLine("form_url", `"form"`), "form_url: not an http or https URL"},
	} {
		s := serve(t)
		status, a := s.post(t, "/v1/"+c.path, c.line)
		if status != 400 || a.RejectedTotal != 1 || len(a.Rejected) != 1 || a.Rejected[0].Error != c.want {
			t.Errorf("%.200s\n got %d %+v\nwant %s", c.line, status, a.Rejected, c.want)
		}
		if s.store.calls != 0 {
			t.Errorf("%.200s: reached the store", c.line)
		}
		total := uint64(0)
		for _, n := range s.Stats().Rejected {
			total += n
		}
		if total != 1 {
			t.Errorf("%.200s: counted %v", c.line, s.Stats().Rejected)
		}
	}
}

func TestEdgesThatStillCount(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		view("at", `"2026-11-23T12:10:00Z"`),
		view("at", `"2026-08-25T12:00:00Z"`),
		view("bizible_id", quote("y"+strings.Repeat("x", 254))),
		view("url", quote("https://x/"+strings.Repeat("y", 32<<10-10))),
		view("url", `"HTTPS://x?%zz;&=%"`),
		view("referrer", `"android-app://com.google.android.gm/"`),
		view("title", quote(strings.Repeat("é", 5000))),
		view("ip", `"unknown"`),
		view("consent", `null`),
		view("unknown", "["+strings.Repeat("[", 29)+strings.Repeat("]", 29)+"]"),
	} {
		s := serve(t)
		if status, a := s.post(t, "/v1/events", line); status != 200 || a.Accepted != 1 {
			t.Errorf("%.100s: %d %+v", line, status, a)
		}
		if e := s.store.one(t); len(e.Title) > 1024 || strings.Contains(e.Title, "\ufffd") {
			t.Errorf("title of %d bytes kept", len(e.Title))
		}
	}
}

func TestRejectedListIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, a := s.post(t, "/v1/events", strings.Repeat("x\n", 1000)+view())
	if a.Accepted != 1 || len(a.Rejected) != 100 || a.RejectedTotal != 1000 || a.Rejected[99].Line != 100 {
		t.Errorf("accepted %d, %d listed of %d", a.Accepted, len(a.Rejected), a.RejectedTotal)
	}
}

func TestEventBotsAreDroppedAndLibrariesAreNot(t *testing.T) {
	t.Parallel()
	s := serve(t)
	body := view("user_agent", `"Mozilla/5.0 (compatible; Googlebot/2.1)"`) + "\n" + view("user_agent", `"curl/8.5.0"`)
	status, a := s.post(t, "/v1/events", body, "User-Agent", "Googlebot/2.1")
	if status != 200 || a.Accepted != 1 || a.Bots != 1 {
		t.Errorf("%d %+v", status, a)
	}
	if status, a := s.post(t, "/v1/events", view("user_agent", `"Googlebot/2.1"`)); status != 200 || a.Bots != 1 {
		t.Errorf("nothing but bots: %d %+v", status, a)
	}
	if got := s.Stats().Bots[botCrawler]; got != 2 {
		t.Errorf("%d bots counted", got)
	}
	if s.store.one(t).UserAgent != "curl/8.5.0" {
		t.Error("the bot was kept")
	}
}

func TestAddressGivesThePlaceAndIsGone(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *Config) {
		c.Geo = func(a netip.Addr) mapping.Geo { return mapping.Geo{City: "at " + a.String()[:3]} }
	})
	s.post(t, "/v1/events", view("ip", `"203.0.113.7"`))
	if e := s.store.one(t); e.Geo.City != "at 203" {
		t.Errorf("%+v", e)
	}
	s.post(t, "/v1/sessions", sessionLine("ip", `"::ffff:198.51.100.1"`, "geo", `{"country":"France"}`))
	if v := s.store.visit(t); v.Geo != (mapping.Geo{Country: "France"}) {
		t.Errorf("what the sender says comes first: %+v", v)
	}
}
