package collector

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callpoint/mapping"
)

// browserPath is a valid page view; pairs replace parameters, an empty value removes one.
func browserPath(pairs ...string) string { return "/m/ipv?" + browserQuery(pairs...) }

func browserQuery(pairs ...string) string {
	q := url.Values{
		"_biz_u": {"7059e81415f34f7bbaf40fe32fdcba21"}, "_biz_l": {"https://www.example.com/service/"}, "_biz_r": {"https://www.google.com/"},
		"_biz_t": {fmt.Sprint(noon.Add(-time.Minute).UnixMilli())}, "_biz_i": {"Service | Example"}, "_biz_n": {"4"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
			continue
		}
		q.Set(pairs[i], pairs[i+1])
	}
	return q.Encode()
}

const safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10) AppleWebKit/603.2.4 (KHTML, like Gecko) Version/10.1.1 Safari/603.2.4"

func TestDocumentedSampleRequest(t *testing.T) {
	t.Parallel()
	sent := time.UnixMilli(1676483822155)
	s := serve(t, func(c *Config) { c.Now = func() time.Time { return sent.Add(2 * time.Second) } })
	resp, text := s.request(t, "GET", "/m/ipv?_biz_r=https%3A%2F%2Fwww.google.com%2F&_biz_h=-1801745101&_biz_u=7059e81415f34f7bbaf40fe32fdcba21&_biz_s=8cbeed"+
		"&_biz_l=https%3A%2F%2Fwww.zendesk.com%2Fservice%2F&_biz_t=1676483822155&_biz_i=Customer%20service%0A%7C%20Zendesk&_biz_n=0&rnd=235938&cdn_o=a&_biz_z=1676483822155", "",
		"User-Agent", safari)
	if resp.StatusCode != 204 || text != "" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %q", resp.StatusCode, text)
	}
	want := mapping.Event{
		Kind: mapping.View, Visitor: "7059e81415f34f7bbaf40fe32fdcba21", At: sent.Add(2 * time.Second).UTC(), URL: "https://www.zendesk.com/service/",
		Referrer: "https://www.google.com/", Title: "Customer service | Zendesk", UserAgent: safari,
	}
	if got := s.store.one(t); got != want {
		t.Errorf("stored %+v\nwant   %+v", got, want)
	}
}

func TestBrowserKindsAndBodies(t *testing.T) {
	t.Parallel()
	happened := noon.Add(-time.Minute)
	js := fmt.Sprintf(`{"_biz_u":"7059e81415f34f7bbaf40fe32fdcba21","_biz_l":"https://www.example.com/service/","_biz_r":"https://www.google.com/","_biz_t":%d,"_biz_i":"Service | Example","_biz_n":4,"_biz_c":true,"x":[1]}`, happened.UnixMilli())
	want := mapping.Event{
		Kind: mapping.View, Visitor: "7059e81415f34f7bbaf40fe32fdcba21", At: happened, URL: "https://www.example.com/service/",
		Referrer: "https://www.google.com/", Title: "Service | Example", UserAgent: safari, Sequence: 4,
	}
	form := want
	form.Kind, form.Referrer = mapping.Form, ""
	idMap := want
	idMap.Kind = mapping.IDMap
	agreed := want
	agreed.Consent = true
	for _, c := range []struct {
		name, method, path, body, contentType string
		want                                  mapping.Event
	}{
		{"GET", "GET", browserPath(), "", "", want},
		{"form", "GET", "/m/frm?" + browserQuery("eMail", "jane@example.com"), "", "", form},
		{"id mapping", "GET", "/m/u?" + browserQuery("mapType", "ecid", "mapValue", "123"), "", "", idMap},
		{"form-encoded", "POST", "/m/ipv", browserQuery(), "application/x-www-form-urlencoded;charset=UTF-8", want},
		{"beacon with a string", "POST", "/m/ipv", browserQuery(), "text/plain;charset=UTF-8", want},
		{"no type", "POST", "/m/ipv", browserQuery(), "", want},
		{"JSON", "POST", "/m/ipv", js, "application/json", agreed},
		{"JSON in a beacon", "POST", "/m/ipv", js, "text/plain", agreed},
		{"both", "POST", browserPath("_biz_l", ""), "_biz_l=https://www.example.com/service/&_biz_u=other", "text/plain", want},
		{"the first that is not empty", "GET", "/m/ipv?_biz_u=&" + browserQuery() + "&_biz_u=other", "", "", want},
		{"consent given", "GET", browserPath("_biz_c", "1"), "", "", agreed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(c *Config) { c.Token = "secret" }) // these need none
			resp, text := s.request(t, c.method, c.path, c.body, "Content-Type", c.contentType, "User-Agent", safari, "Origin", "https://www.example.com", "Sec-Fetch-Site", "cross-site")
			if resp.StatusCode != 204 {
				t.Fatalf("%d %s", resp.StatusCode, text)
			}
			if got := s.store.one(t); got != c.want {
				t.Errorf("stored %+v\nwant   %+v", got, c.want)
			}
		})
	}
}

func TestBrowserTimes(t *testing.T) {
	t.Parallel()
	ms := func(d time.Duration) string { return fmt.Sprint(noon.Add(d).UnixMilli()) }
	for _, c := range []struct {
		name, happened, sent string
		want                 time.Duration // from noon
	}{
		{"at once", ms(0), ms(0), 0},
		{"sent late", ms(-time.Hour), ms(-time.Minute), -59 * time.Minute},
		{"clock years behind", "1000000000000", "1000000005000", -5 * time.Second},
		{"clock days ahead", ms(72 * time.Hour), ms(72*time.Hour + time.Second), -time.Second},
		{"no time of sending", ms(-2 * time.Hour), "", -2 * time.Hour},
	} {
		s := serve(t)
		if resp, text := s.request(t, "GET", browserPath("_biz_t", c.happened, "_biz_z", c.sent), ""); resp.StatusCode != 204 {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, text)
			continue
		}
		if got := s.store.one(t).At; !got.Equal(noon.Add(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, noon.Add(c.want))
		}
	}
}

// A request that is sent again arrives later; it must not become a second page view.
func TestBrowserRepeats(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	s := serve(t, func(c *Config) { c.Now = func() time.Time { return noon.Add(time.Duration(clock.Load())) } })
	happened := noon.Add(-time.Minute).UnixMilli()
	for _, late := range []time.Duration{0, 250 * time.Millisecond, time.Hour} {
		clock.Store(int64(late))
		s.request(t, "GET", browserPath("_biz_t", fmt.Sprint(happened), "_biz_z", fmt.Sprint(noon.UnixMilli())), "")
	}
	if e := s.store.one(t); e.At.UnixMilli() != happened {
		t.Errorf("at %v", e.At)
	}
	if st := s.Stats(); st.Events != 1 || st.Repeated != 2 {
		t.Errorf("stats %+v", st)
	}
	s.request(t, "GET", browserPath("_biz_t", fmt.Sprint(happened+1), "_biz_z", fmt.Sprint(noon.UnixMilli())), "")
	if s.store.count() != 2 {
		t.Error("another view was taken for a repeat")
	}
}

func TestBrowserConsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		consent string
		stored  int
	}{{"1", 1}, {"true", 1}, {" Granted ", 1}, {"1764100000000", 1}, {"0", 0}, {"-1", 0}, {"false", 0}, {"No", 0}, {"denied", 0}, {"anything", 0}, {"null", 0}, {"undefined", 0}} {
		s := serve(t)
		resp, _ := s.request(t, "GET", browserPath("_biz_c", c.consent), "")
		if resp.StatusCode != 204 || s.store.count() != c.stored || s.Stats().ConsentRefused != uint64(1-c.stored) {
			t.Errorf("_biz_c=%s: %d, %d stored, %+v", c.consent, resp.StatusCode, s.store.count(), s.Stats())
		}
	}
	s := serve(t)
	s.request(t, "POST", "/m/ipv", `{"_biz_c":false,"_biz_u":"u","_biz_l":"https://x/"}`, "Content-Type", "application/json")
	if s.Stats().ConsentRefused != 1 {
		t.Error("false in JSON is a refusal too")
	}
}

// Bytes that are no UTF-8 in an address keep their escapes, so that two campaigns stay two.
func TestBrowserOtherCharset(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, query := range []string{
		"_biz_l=https://www.example.com/?utm_campaign=M%FCnchen", "_biz_l=https%3A%2F%2Fwww.example.com%2F%3Futm_campaign%3DM%25FCnchen",
	} {
		s.request(t, "GET", "/m/ipv?_biz_u=a&_biz_t="+fmt.Sprint(noon.UnixMilli())+"&"+query, "")
	}
	if e := s.store.one(t); e.URL != "https://www.example.com/?utm_campaign=M%FCnchen" {
		t.Errorf("stored %q", e.URL)
	}
}

// A page that a browser loads ahead, and that nobody may ever see, is no view.
func TestPrerender(t *testing.T) {
	t.Parallel()
	for _, header := range [][2]string{{"Sec-Purpose", "prefetch;prerender"}, {"Sec-Purpose", "prefetch"}, {"Purpose", "prefetch"}, {"X-Purpose", "preview"}, {"X-Moz", "Prefetch"}} {
		s := serve(t)
		resp, _ := s.request(t, "POST", browserPath(), "", header[0], header[1])
		if resp.StatusCode != 204 || resp.Header.Get("Callpoint-Dropped") != "prerender" || s.store.count() != 0 || s.Stats().Bots[botPrerender] != 1 {
			t.Errorf("%s: %d, %d stored", header, resp.StatusCode, s.store.count())
		}
	}
	s := serve(t)
	if s.request(t, "POST", browserPath(), "", "Sec-Purpose", ""); s.store.count() != 1 {
		t.Error("a view without a purpose is not stored")
	}
}

func TestBrowserBots(t *testing.T) {
	t.Parallel()
	s := serve(t)
	resp, _ := s.request(t, "GET", browserPath(), "", "User-Agent", "Mozilla/5.0 HeadlessChrome/120.0")
	if resp.StatusCode != 204 || resp.Header.Get("Callpoint-Dropped") != "bot: headless" || s.store.count() != 0 || s.Stats().Bots[botHeadless] != 1 {
		t.Errorf("%d %v %+v", resp.StatusCode, resp.Header, s.Stats())
	}
	s.request(t, "GET", browserPath(), "", "User-Agent", "Go-http-client/1.1")
	if s.store.count() != 1 {
		t.Error("a library that passes requests on is no bot")
	}
}

func TestBrowserAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, c := range []struct {
		accept string
		gif    bool
	}{
		{"", false}, {"*/*", false}, {"text/html,image/webp,*/*;q=0.8", false},
		{"image/*", true}, {"image/gif", true}, {"image/avif,image/webp,image/*,*/*;q=0.8", true}, {" Image/png", true},
	} {
		resp, text := s.request(t, "GET", browserPath(), "", "Accept", c.accept)
		isGIF := resp.StatusCode == 200 && resp.Header.Get("Content-Type") == "image/gif" && strings.HasPrefix(text, "GIF89a") && strings.HasSuffix(text, ";")
		isEmpty := resp.StatusCode == 204 && text == ""
		if isGIF != c.gif || isEmpty == c.gif {
			t.Errorf("Accept %q: %d %q", c.accept, resp.StatusCode, text)
		}
	}
	resp, _ := s.request(t, "OPTIONS", "/m/ipv", "", "Origin", "https://www.example.com", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "POST") || resp.Header.Get("Access-Control-Allow-Headers") != "Content-Type" {
		t.Errorf("preflight: %d %v", resp.StatusCode, resp.Header)
	}
	before := s.store.calls
	for _, method := range []string{"HEAD", "PUT", "DELETE"} {
		if resp, _ := s.request(t, method, browserPath("_biz_n", "99"), ""); resp.StatusCode != 405 {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
	if s.store.calls != before {
		t.Error("HEAD left an event")
	}
}

func TestBrowserMalformed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, want string }{
		{"", "_biz_t: missing"},
		{browserQuery("_biz_u", ""), "_biz_u: missing"},
		{browserQuery("_biz_u", "\x01"), "_biz_u: not a BizibleId: blank, longer than 255 bytes, with control characters, or a value that stands for none, such as undefined, (not set) or zeros"},
		{browserQuery("_biz_l", ""), "_biz_l: missing"},
		{browserQuery("_biz_l", "about:blank"), "_biz_l: not an http or https URL"},
		{browserQuery("_biz_t", "soon"), `_biz_t: not a time in milliseconds since 1970: "soon"`},
		{browserQuery("_biz_t", "-5"), `_biz_t: not a time in milliseconds since 1970: "-5"`},
		{browserQuery("_biz_t", "9223372036854775807"), `_biz_t: not a time in milliseconds since 1970: "9223372036854775807"`},
		{browserQuery("_biz_z", "x"), `_biz_z: not a time in milliseconds since 1970: "x"`},
		{browserQuery("_biz_t", "253402300799999"), "_biz_t: 9999-12-31T23:59:59.999Z is more than 10m ahead of the clock"},
		{browserQuery("_biz_t", "1"), "_biz_t: 1970-01-01T00:00:00.001Z is older than the retention of 2160h"},
		{browserQuery("_biz_n", "x"), "_biz_n: not a whole number of 64 bits: x"},
		{browserQuery("_biz_i", "\xff"), "not valid UTF-8"},
	} {
		s := serve(t)
		resp, text := s.request(t, "GET", "/m/ipv?"+c.query, "")
		if resp.StatusCode != 400 || strings.TrimSpace(text) != c.want || s.store.count() != 0 {
			t.Errorf("%s\n got %d %s\nwant %s", c.query, resp.StatusCode, text, c.want)
		}
	}
	s := serve(t)
	for body, want := range map[string]int{
		`{"_biz_u":`: 400, `{"_biz_u":"a","_biz_u":"b"}`: 400, strings.Repeat("x", 300<<10): 413,
	} {
		if resp, _ := s.request(t, "POST", "/m/ipv", body, "Content-Type", "application/json"); resp.StatusCode != want {
			t.Errorf("%.20s: %d", body, resp.StatusCode)
		}
	}
	if resp, _ := s.request(t, "POST", "/m/ipv", browserQuery(), "Content-Type", "multipart/form-data; boundary=x"); resp.StatusCode != 415 {
		t.Errorf("multipart: %d", resp.StatusCode)
	}
}

func TestBrowserRateLimit(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	s := serve(t, func(c *Config) {
		c.Now = func() time.Time { return noon.Add(time.Duration(clock.Load())) }
		c.BrowserRate, c.BrowserBurst = 1, 3
		c.TrustedProxies = prefixes("127.0.0.0/8", "::1/128")
	})
	get := func(from string) int {
		resp, _ := s.request(t, "GET", browserPath(), "", "X-Forwarded-For", from)
		if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		return resp.StatusCode
	}
	for i, want := range []int{204, 204, 204, 429, 429} {
		if got := get("203.0.113.7"); got != want {
			t.Errorf("request %d: %d, want %d", i+1, got, want)
		}
	}
	if got := get("203.0.113.8"); got != 204 {
		t.Errorf("another address: %d", got)
	}
	clock.Store(int64(time.Second))
	if got := get("203.0.113.7"); got != 204 {
		t.Errorf("a second later: %d", got)
	}
	for i, want := range []int{204, 204, 204, 429} {
		if got := get(fmt.Sprintf("2001:db8::%d", i+1)); got != want { // one household has the whole /64
			t.Errorf("IPv6 request %d: %d, want %d", i+1, got, want)
		}
	}
	if got := s.Stats().Refused[refusedRate]; got != 3 {
		t.Errorf("%d counted", got)
	}
}

func TestBrowserPlace(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *Config) {
		c.TrustedProxies = prefixes("127.0.0.0/8", "::1/128")
		c.Geo = func(a netip.Addr) mapping.Geo {
			if a == netip.MustParseAddr("203.0.113.7") {
				return mapping.Geo{City: "Seattle"}
			}
			return mapping.Geo{}
		}
	})
	s.request(t, "GET", browserPath(), "", "X-Forwarded-For", "10.1.1.1, 203.0.113.7, 127.0.0.1")
	if got := s.store.one(t).Geo.City; got != "Seattle" {
		t.Errorf("%q", got)
	}
}
