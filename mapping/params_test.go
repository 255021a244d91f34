package mapping

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMacros(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"{keyword}", "{{lead.Id}}", "{{ lead.Id }}", "kw-{keyword}", "{ifmobile:m}{ifsearch:s}", "{!Contact.Name}", "${CAMPAIGN_ID}", "{$x}", "pre_{{x}}_post",
		"__CAMPAIGN_NAME__", "kw-__KEYWORD__", "__AID__/__CID__", "*|CAMPAIGN_UID|*", "a*|X|*b", "%%emailname_%%", "x-%%x%%", "[campaign]", "[[campaign]]", "[campaign.id]",
		"[%tp_CampaignID%]", "<%= name %>", "%CAMPAIGN%", "%epid!", "$section_id$", "{}", "{a b}", "{Ключ}",
	} {
		if !isMacro(value) {
			t.Errorf("%q is no macro", value)
		}
	}
	for _, value := range []string{
		"", "spring", "US__BRAND__EXACT", "__init", "a__B", "[US] Brand", "Brand [exact]", "[1]", "100%", "50%-60%", "50%%", "a|b", "5*|3", "{2026} sale", "sale {1}", "$5", "$5 and $6",
		"a_b", "_x_", "100% off 50%", "x < y > z", "{", "}", "[]", "[ ]",
	} {
		if isMacro(value) {
			t.Errorf("%q is a macro", value)
		}
	}
}

// Bytes that are no UTF-8 never make two different values one, and are decoded where only one
// character set is possible.
func TestCharsets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"UTF-8", "%C3%BCber", "über"},
		{"windows-1252", "M%FCnchen", "München"},
		{"windows-1252 at the end", "caf%E9", "café"},
		{"windows-1252 before another letter", "caf%E9s", "cafés"},
		{"windows-1252, capitals", "PROMO%C7%C3O", "PROMOÇÃO"},
		{"windows-1252, apostrophe", "Mother%92s+day", "Mother’s day"},
		{"windows-1252, quotes", "%93Spring%94", "“Spring”"},
		{"windows-1252, sign", "5%80", "5€"},
		{"windows-1252, sharp s", "Stra%DFe", "Straße"},
		{"windows-1252, two words", "%C9t%E9+fran%E7ais", "Été français"},
		{"Shift-JIS, katakana", "%83Z%81[%83%8B", "セール"},
		{"Shift-JIS, kanji", "%93%8C%8B%9E", "東京"},
		{"Shift-JIS, both", "%8Ft%82%CC%83Z%81%5B%83%8B", "春のセール"},
		{"EUC-KR", "%C7%D1%B1%B9", "한국"},
		{"EUC-KR, with Latin", "2026+%BA%BD+%BC%BC%C0%CF", "2026 봄 세일"},
		{"named by the link", "%C8", "È"},
		{"windows-1251 is not certain", "%D1%EF%EE%F0%F2", "%D1%EF%EE%F0%F2"},
		{"GBK is not certain", "%B4%BA%BD%DA", "%B4%BA%BD%DA"},
		{"EUC-JP is not certain", "%C5%EC%B5%FE", "%C5%EC%B5%FE"},
		{"no characters at all", "%FF%FE", "%FF%FE"},
		{"UTF-8 that was cut", "%E6%98%A5%E7", "春%E7"},
	} {
		query := "utm_campaign=" + test.in
		if test.name == "named by the link" {
			query += "&ie=ISO-8859-1"
		}
		if got := parseParams(query).get("utm_campaign"); got != test.want {
			t.Errorf("%s: %s is %q, want %q", test.name, test.in, got, test.want)
		}
	}
	seen := make(map[string]string)
	for a := 0x80; a <= 0xff; a++ {
		for b := 0x80; b <= 0xff; b++ {
			raw := "%" + twoDigits(a) + "%" + twoDigits(b)
			if utf8.ValidString(unescape(raw)) {
				continue // may well be the same text as other bytes in windows-1252
			}
			got := parseParams("utm_campaign=x" + raw).get("utm_campaign")
			if other, ok := seen[got]; ok {
				t.Errorf("%s and %s are both %q", other, raw, got)
			}
			seen[got] = raw
		}
	}
}

func twoDigits(n int) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{digits[n>>4], digits[n&15]})
}

// Rule cells and values match in Unicode and in punycode, with and without percent escapes.
func TestRulesMatchUnicode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ row, page, referrer string }{
		{"C,,,,,,müller.example", "https://www.example.com/", "https://www.xn--mller-kva.example/"},
		{"C,,,,,,xn--mller-kva.example", "https://www.example.com/", "https://müller.example/"},
		{"C,,,,,,MÜLLER", "https://www.example.com/", "https://xn--mller-kva.com/"},
		{"C,,,,,,*müller*", "https://www.example.com/", "https://www.xn--mller-kva.example/x"},
		{"C,,,,,,*xn--mller-kva*", "https://www.example.com/", "https://müller.example/x"},
		{"C,,,,,*/über-uns*,", "https://www.example.com/%C3%BCber-uns?x=1", ""},
		{"C,,,,,*/%C3%BCber-uns*,", "https://www.example.com/über-uns", ""},
		{"C,,,,,*/%c3%bcber-uns*,", "https://www.example.com/%C3%9Cber-uns", ""},
		{"C,,,,,*red shoes*,", "https://www.example.com/red%20shoes", ""},
		{"C,,,,,*/u\u0308ber*,", "https://www.example.com/%C3%BCber", ""},
		{"C,,,,,https://münchen.example/*,", "https://xn--mnchen-3ya.example/x", ""},
		{"C,,f\u00fcr,,,,", "https://www.example.com/?utm_campaign=fu%CC%88r", ""},
		{"C,,spr\u200bing,,,,", "https://www.example.com/?utm_campaign=sp%E2%80%8Dring", ""},
		{"C,,,goo\ufeffgle,,,", "https://www.example.com/?utm_medium=google%00", ""},
	} {
		s := Default()
		s.Rules = rulesOf(t, test.row)
		if got := s.Channel(test.page, test.referrer).Channel; got != "C" {
			t.Errorf("%s does not fit %s from %s", test.row, test.page, test.referrer)
		}
	}
	s := Default()
	s.Rules = rulesOf(t, "C,,,,,*a/b*,")
	if got := s.Channel("https://www.example.com/a%2Fb", "").Channel; got == "C" {
		t.Error("an escaped slash is taken for one")
	}
	s = Default()
	s.OwnDomains, s.IgnoredReferrers = []string{"müller.example"}, []string{"*.zahlung-münchen.example"}
	for _, referrer := range []string{"https://xn--mller-kva.example/", "https://shop.müller.example/", "https://zahlung-münchen.example", "https://x.xn--zahlung-mnchen-osb.example"} {
		if o := s.readLanding(siteCache{}, Landing{"https://www.example.com/", referrer}); o.class != ownSite && o.class != signIn {
			t.Errorf("%s is %s", referrer, o.class)
		}
	}
}

// The lint names cells with invisible characters; names lose them.
func TestInvisibleCells(t *testing.T) {
	t.Parallel()
	rules, problems, err := ParseRules([]byte("\ufeff" + header + "\nPaid\u200b,,x\u2060;y,,,,\n"))
	if err != nil || len(problems) != 2 || !problems[0].Warning {
		t.Fatalf("%v, %v", problems, err)
	}
	for i, want := range []string{"U+200B", "U+2060"} {
		if got := problems[i].Error(); !strings.Contains(got, want) {
			t.Errorf("%s does not name %s", got, want)
		}
	}
	if rules.rows[0].channel != "Paid" || !glob(rules.rows[0].cells[0][0].parts, "x") {
		t.Errorf("%+v", rules.rows[0])
	}
}
