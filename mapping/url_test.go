package mapping

import (
	"testing"
	"unicode/utf8"
)

func TestSplitURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct{ host, page string }{
		"https://www.Example.com/Demo?a=1#b":    {"www.example.com", "www.example.com/Demo"},
		"http://user:pw@example.com:8080/x":     {"example.com", "example.com:8080/x"},
		"https://example.com./":                 {"example.com", "example.com/"},
		"https://example.com":                   {"example.com", "example.com"},
		"https://example.com?x=/a/b":            {"example.com", "example.com"},
		"//example.com/x":                       {"example.com", "example.com/x"},
		"www.example.com/x y%zz":                {"www.example.com", "www.example.com/x y%zz"},
		"example.com:443/x":                     {"example.com", "example.com:443/x"},
		"android-app://com.google.android.gm/":  {"com.google.android.gm", "com.google.android.gm/"},
		"http://[2001:db8::1]:8080/x":           {"[2001:db8::1]", "[2001:db8::1]:8080/x"},
		"http://localhost/x":                    {"localhost", "localhost/x"},
		" https://bücher.example/ ":             {"xn--bcher-kva.example", "bücher.example/"},
		"https://XN--bcher-kva.example/":        {"xn--bcher-kva.example", "xn--bcher-kva.example/"},
		"http://intranet/wiki":                  {"intranet", "intranet/wiki"},
		"intranet/wiki":                         {"", "intranet/wiki"},
		"http://[::1":                           {"", "[::1"},
		"http://[::1]/":                         {"[::1]", "[::1]/"},
		"http://[::1]:80/":                      {"[::1]", "[::1]:80/"},
		"http://::1/":                           {"", "::1/"},
		"http://[1.2.3.4]/":                     {"", "[1.2.3.4]/"},
		"http://a:b:80/":                        {"", "a:b:80/"},
		"https://www.\u200bexample.com/\ufeffa": {"www.example.com", "www.example.com/a"},
		"https://www%2Eexample.com/":            {"www.example.com", "www.example.com/"},
		"\tht\ntps://example.com/\r":            {"example.com", "example.com/"},
		"null":                                  {"", "null"},
		"about:blank":                           {"", "blank"},
		"data:text/html,hi":                     {"", "text/html,hi"},
		"https:///x":                            {"", "/x"},
		"https://exa mple.com/":                 {"", "exa mple.com/"},
		"":                                      {"", ""},
		"#":                                     {"", ""},
	} {
		if l := splitURL(in); l.host != want.host || l.page() != want.page {
			t.Errorf("splitURL(%q) has host %q, page %q; want %q, %q", in, l.host, l.page(), want.host, want.page)
		}
	}
}

func TestPageParams(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url, key, want string }{
		{"plain", "https://example.com/?utm_source=google", "utm_source", "google"},
		{"a semicolon in the value", "https://example.com/?utm_campaign=a;b&utm_source=x", "utm_campaign", "a;b"},
		{"a semicolon costs no neighbour", "https://example.com/?x=a;b&utm_source=x", "utm_source", "x"},
		{"a bad percent sign stays", "https://example.com/?utm_campaign=100%+off", "utm_campaign", "100% off"},
		{"a bad percent sign costs no neighbour", "https://example.com/?a=%zz&utm_source=x", "utm_source", "x"},
		{"keys in any case", "https://example.com/?UTM_Source=x", "utm_source", "x"},
		{"amp;", "https://example.com/?a=1&amp;utm_medium=cpc", "utm_medium", "cpc"},
		{"amp;amp;", "https://example.com/?a=1&amp;amp;utm_medium=cpc", "utm_medium", "cpc"},
		{"the first that is not empty", "https://example.com/?utm_source=&utm_source=b&utm_source=c", "utm_source", "b"},
		{"plus is a blank", "https://example.com/?_bk=red+shoes", "_bk", "red shoes"},
		{"percent sign", "https://example.com/?_bk=red%20shoes%2B", "_bk", "red shoes+"},
		{"blanks around it", "https://example.com/?utm_source=%20x+", "utm_source", "x"},
		{"tags behind #! and #/", "https://example.com/#!/utm_source=x", "utm_source", "x"},
		{"an encoded key", "https://example.com/?utm%5Fsource=x", "utm_source", "x"},
		{"macro", "https://example.com/?utm_term={keyword}", "utm_term", ""},
		{"encoded macro", "https://example.com/?utm_term=%7Bkeyword%7D", "utm_term", ""},
		{"double macro", "https://example.com/?utm_term={{lead.Id}}", "utm_term", ""},
		{"a macro gives way to a value", "https://example.com/?utm_term={keyword}&utm_term=shoes", "utm_term", "shoes"},
		{"tags behind the #", "https://example.com/#utm_source=x&utm_medium=y", "utm_medium", "y"},
		{"tags behind the ? behind the #", "https://example.com/#/home?utm_source=x", "utm_source", "x"},
		{"only utm tags behind the #", "https://example.com/#gclid=1", "gclid", ""},
		{"tags in the query come before the #", "https://example.com/?gclid=1#utm_source=x", "utm_source", ""},
		{"other parameters do not", "https://example.com/?page=1#utm_source=x", "utm_source", "x"},
		{"PHP's array", "https://example.com/?utm_source[]=x", "utm_source", "x"},
		{"PHP's array with an index", "https://example.com/?utm_source%5B0%5D=x", "utm_source", "x"},
		{"PHP's array of utm", "https://example.com/?utm[source]=x", "utm_source", "x"},
		{"PHP's dots", "https://example.com/?utm.source=x", "utm_source", "x"},
		{"PHP's blanks", "https://example.com/?utm+source=x", "utm_source", "x"},
		{"PHP's arrays of others", "https://example.com/?GCLID[]=x", "gclid", "x"},
		{"a second ?", "https://example.com/?id=5?utm_source=x&utm_medium=y", "utm_source", "x"},
		{"a second ? leaves the value before it", "https://example.com/?id=5?utm_source=x", "id", "5"},
		{"two more", "https://example.com/?a=1?b=2?gclid=x?utm_source=y", "utm_source", "y"},
		{"a doubled ?", "https://example.com/??utm_source=x", "utm_source", "x"},
		{"a ? in a value", "https://example.com/?q=who?&utm_source=x", "q", "who?"},
		{"an address in a value", "https://example.com/?to=https://a.example/?b=1", "to", "https://a.example/?b=1"},
		{"invisible characters", "https://example.com/?utm_source=%E2%80%8Bgoo\u200dgle%EF%BB%BF%00%7F", "utm_source", "google"},
		{"invisible characters in the key", "https://example.com/?%E2%80%8Butm_source=x", "utm_source", "x"},
		{"nothing but invisible characters", "https://example.com/?utm_source=%E2%80%8B&utm_source=x", "utm_source", "x"},
		{"empty tags do not", "https://example.com/?utm_source=#utm_source=x", "utm_source", "x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := pageParams(splitURL(test.url)).get(test.key); got != test.want {
				t.Errorf("%s of %s is %q, want %q", test.key, test.url, got, test.want)
			}
		})
	}
}

func TestWithoutTracking(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://example.com/a?gclid=1&size=9&utm_source=x&_bt=1&hsa_cam=2&gad_source=1&gclsrc=ds": "https://example.com/a?size=9",
		"https://example.com/a?gclid=1":                 "https://example.com/a",
		"https://example.com/a?x=%zz&GCLID=1#b":         "https://example.com/a?x=%zz#b",
		"https://example.com/a#utm_source=x":            "https://example.com/a",
		"https://example.com/a":                         "https://example.com/a",
		"https://example.com/a#/route?utm_source=s&x=1": "https://example.com/a#/route?x=1",
		"https://example.com/a#!/r?utm_source=s":        "https://example.com/a#!/r",
		"https://example.com/a?id=5?utm_source=s":       "https://example.com/a?id=5",
		"https://example.com/a?utm_source[]=s&y=2":      "https://example.com/a?y=2",
		"https://example.com/a#x=1&utm_source=s":        "https://example.com/a#x=1",
		"https://example.com/#/r?a=1?utm_source=s":      "https://example.com/#/r?a=1",
	} {
		if got := withoutTracking(in); got != want {
			t.Errorf("withoutTracking(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCampaignTags(t *testing.T) {
	t.Parallel()
	for _, one := range []string{"?gad_source=1", "?gad_campaignid=1", "?_bt=1", "?_bf=1", "?_bl=1", "?utm_id=1", "#utm_source=x", "?rdt_cid=1"} {
		if campaignTags("https://example.com/"+one) == "" {
			t.Errorf("%s has no tags", one)
		}
	}
	a := campaignTags("https://example.com/a?utm_source=x&gclid=1&size=9")
	if b := campaignTags("https://example.com/b?GCLID=1&utm_source=x"); a != b || a == "" {
		t.Errorf("the same tags differ: %q, %q", a, b)
	}
	for _, other := range []string{"?size=9&q=utm_source", "?utm_source={x}", "", "?gad=1"} {
		if got := campaignTags("https://example.com/" + other); got != "" {
			t.Errorf("%s has the tags %q", other, got)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("https://user@www.example.com:80/a?utm_source=x&amp;b=%zz;c#utm_medium=y", "https://www.google.com/?q=%ff")
	f.Add("about:blank", "null")
	f.Add("//[::1", "android-app://com.linkedin.android")
	s := Default()
	f.Fuzz(func(t *testing.T, page, referrer string) {
		o := s.readLanding(siteCache{}, Landing{page, referrer})
		o.channel = s.rules().classify(o.ruleInput())
		if o.channel.Channel == "" || o.class == "" {
			t.Error("no channel or no class")
		}
		x := Session{LandingPage: page, Referrer: referrer, FormURL: page}
		r := s.newRecord(nil, &x, s.classify(siteCache{}, &x), Position{})
		checkValues(t, r.touchpoint())
		withoutTracking(page)
		campaignTags(page)
	})
}

// checkValues checks what Salesforce must never see: invalid UTF-8, control characters, a value too long.
func checkValues(t *testing.T, tp Touchpoint) {
	t.Helper()
	if len(tp.Values) != len(DefaultFields().fields) {
		t.Errorf("%d values for %d fields", len(tp.Values), len(DefaultFields().fields))
	}
	for _, f := range DefaultFields().fields {
		value, ok := tp.Values[f.name]
		if !ok {
			t.Errorf("%s is not sent", f.name)
		}
		text, ok := value.(string)
		if !ok {
			continue
		}
		if !utf8.ValidString(text) || text != clean(text) || text == "" {
			t.Errorf("%s is %q", f.name, text)
		}
		if n := utf16Len(text); n > f.limit() {
			t.Errorf("%s has %d characters", f.name, n)
		}
	}
}
