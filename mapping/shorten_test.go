package mapping

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShortenURL(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"fits", "https://a.example/?a=1", 22, "https://a.example/?a=1"},
		{"others go first", "https://a.example/?a=" + x(20) + "&utm_source=s&b=2", 35, "https://a.example/?utm_source=s&b=2"},
		{"tags in their order", "https://a.example/p?gclid=g&x=" + x(9) + "&utm_source=s&utm_medium=m", 56, "https://a.example/p?gclid=g&utm_source=s&utm_medium=m"},
		{"utm before click ids", "https://a.example/?gclid=" + x(30) + "&utm_source=s", 50, "https://a.example/?utm_source=s"},
		{"click ids before ad ids", "https://a.example/?hsa_grp=12345&fbclid=F", 32, "https://a.example/?fbclid=F"},
		{"Marketo Measure's own", "https://a.example/?a=" + x(30) + "&_bt=7", 30, "https://a.example/?_bt=7"},
		{"a tag that is too long goes whole", "https://a.example/?utm_campaign=" + x(50) + "&utm_source=s", 40, "https://a.example/?utm_source=s"},
		{"an anchor goes first", "https://a.example/?utm_source=s#" + x(9), 32, "https://a.example/?utm_source=s"},
		{"tags in the fragment", "https://a.example/?a=" + x(30) + "#utm_source=s&b=" + x(9), 35, "https://a.example/#utm_source=s"},
		{"a route", "https://a.example/?a=" + x(30) + "#/r?utm_source=s&b=" + x(9), 35, "https://a.example/#/r?utm_source=s"},
		{"an escaped &amp;", "https://a.example/?a=" + x(30) + "&amp;utm_source=s", 40, "https://a.example/?amp;utm_source=s"},
		{"the path is too long", "https://a.example/" + x(30) + "?utm_source=s", 20, "https://a.example/xx"},
		{"no half escape", "https://a.example/x%E4%B8", 23, "https://a.example/x%E4"},
		{"no half escape at its first digit", "https://a.example/x%E4%B8", 24, "https://a.example/x%E4"},
		{"no split character", "https://a.example/😀😀", 21, "https://a.example/😀"},
		{"no URL", x(30), 20, x(20)},
		{"no limit", "https://a.example/?a=1", 0, "https://a.example/?a=1"},
	} {
		got, short := shortenURL(test.in, test.limit)
		if got != test.want || short != (test.in != test.want) {
			t.Errorf("%s: %q, %v; want %q", test.name, got, short, test.want)
		}
	}
}

// Whatever the URL: it fits, each parameter is one of the URL's in the same order, and one
// that was dropped would not have fitted in the place of those that rank lower.
func TestShortenURLKeepsWhole(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	keys := []string{"utm_source", "utm_campaign", "gclid", "_bt", "hsa_ad", "q", "UTM_Term", "page", "amp;utm_medium"}
	for range 2000 {
		raw := "https://www.example.com/p"
		var all []string
		for i := range rng.IntN(12) {
			all = append(all, keys[rng.IntN(len(keys))]+"="+strings.Repeat("é", rng.IntN(40))+strconv.Itoa(i))
		}
		raw += "?" + strings.Join(all, "&")
		limit := 40 + rng.IntN(200)
		got, _ := shortenURL(raw, limit)
		if utf16Len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("seed %d: %q has %d units, limit %d", seed, got, utf16Len(got), limit)
		}
		base, query, _ := strings.Cut(got, "?")
		if base != "https://www.example.com/p" {
			t.Fatalf("seed %d: base %q", seed, base)
		}
		from := 0
		for pair := range strings.SplitSeq(query, "&") {
			if pair == "" {
				continue
			}
			at := slices.Index(all[from:], pair)
			if at < 0 {
				t.Fatalf("seed %d: %q is none of %q, or out of order", seed, pair, all)
			}
			from += at + 1
		}
		for _, pair := range all {
			isUTM := strings.HasPrefix(strings.ToLower(strings.TrimPrefix(pair, "amp;")), "utm_")
			if isUTM && !strings.Contains(got, pair) && strings.Contains(got, "q=") && utf16Len(got)+1+utf16Len(pair) <= limit {
				t.Fatalf("seed %d: %q was dropped from %q though it fits", seed, pair, got)
			}
		}
		if _, err := url.Parse(got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestShortenURLBytes(t *testing.T) {
	t.Parallel()
	raw := "https://a.example/?x=" + strings.Repeat("é", 40) + "&utm_source=s"
	for limit, want := range map[int]string{200: raw, 60: "https://a.example/?utm_source=s", 20: "https://a.example/"} {
		if got := ShortenURL(raw, limit); got != want {
			t.Errorf("%d bytes: %q, want %q", limit, got, want)
		}
	}
}

// The raw URLs keep what attribution needs in the 255 characters that the package's fields hold.
func TestRawURLsFit(t *testing.T) {
	t.Parallel()
	landing := "https://www.example.com/demo?session=" + strings.Repeat("s", 300) + "&utm_source=google&utm_medium=cpc&utm_campaign=Spring&gclid=EAIa#top"
	tp := matchedRecord(Default(), landing).touchpoint()
	const want = "https://www.example.com/demo?utm_source=google&utm_medium=cpc&utm_campaign=Spring&gclid=EAIa#top"
	if got := tp.Values["bizible2__Landing_Page_Raw__c"]; got != want {
		t.Errorf("the landing page is %v", got)
	}
	if tp.Cut != 2 { // the destination, which is without tags, is cut as well
		t.Errorf("%d cut", tp.Cut)
	}
}
