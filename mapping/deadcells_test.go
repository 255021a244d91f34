package mapping

import (
	"strings"
	"testing"
)

// Cells that fit nothing are named, with what to write instead; what is written instead is fine
// and fits.
func TestDeadCells(t *testing.T) {
	t.Parallel()
	columnsOf := map[string]int{"campaign": 0, "medium": 1, "source": 2, "page": 3, "site": 4}
	rowOf := func(column, cell string) string {
		cells := make([]string, 7)
		cells[0] = "C"
		cells[2+columnsOf[column]] = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		return strings.Join(cells, ",")
	}
	for _, test := range []struct{ column, cell, write, page, referrer string }{
		{"site", "*.partner.com", "partner.com", "", "https://www.partner.com/"},
		{"site", "partner.com/*", "*partner.com/*", "", "https://www.partner.com/"},
		{"site", "www.partner.com*", "*www.partner.com*", "", "https://www.partner.com/x"},
		{"site", "*.co.uk", "*.co.uk/*", "", "https://www.partner.co.uk/"},
		{"site", "*blog*.partner.co.uk", "*blog*.partner.co.uk/*", "", "https://blog.partner.co.uk/"},
		{"site", "Google Organic Search", "[Google Organic Search]", "", "https://www.google.com/"},
		{"site", "adwords paid search", "[adwords paid search]", "?gclid=1", ""},
		{"site", "(direct)", "direct", "", ""},
		{"site", "(none)", "direct", "", ""},
		{"site", "a.com, b.com", "a.com;b.com", "", "https://b.com/"},
		{"site", "partner.com/blog", "*partner.com/blog*", "", "https://partner.com/blog/1"},
		{"site", "“partner.com”", "partner.com", "", "https://partner.com/"},
		{"medium", "email, e-mail", "email;e-mail", "?utm_medium=e-mail", ""},
		{"medium", "email | e-mail", "email;e-mail", "?utm_medium=email", ""},
		{"medium", "email or e-mail", "email;e-mail", "?utm_medium=email", ""},
		{"medium", "email；e-mail", "email;e-mail", "?utm_medium=email", ""},
		{"medium", "utm_medium=email", "email", "?utm_medium=email", ""},
		{"source", "?utm_source=news*", "news*", "?utm_source=newsletter", ""},
		{"source", "“newsletter”", "newsletter", "?utm_source=newsletter", ""},
		{"source", `"newsletter"`, "newsletter", "?utm_source=newsletter", ""},
		{"source", "‘newsletter’", "newsletter", "?utm_source=newsletter", ""},
		{"campaign", "utm_campaign=spring", "spring", "?utm_campaign=spring", ""},
		{"campaign", "«spring»", "spring", "?utm_campaign=spring", ""},
		{"campaign", "^spring.*", "spring*", "?utm_campaign=spring-1", ""},
		{"medium", ".*social.*", "*social*", "?utm_medium=paid-social", ""},
		{"medium", "^cpc$", "cpc", "?utm_medium=cpc", ""},
		{"medium", "(organic)", "organic", "?utm_medium=organic", ""},
		{"page", "/pricing", "*/pricing*", "pricing", ""},
		{"page", "/pricing*", "*/pricing*", "pricing?x=1", ""},
		{"page", "www.example.com/pricing*", "*www.example.com/pricing*", "pricing", ""},
		{"page", "utm_medium=email", "*utm_medium=email*", "?utm_medium=email", ""},
	} {
		_, problems, err := ParseRules([]byte(header + "\n" + rowOf(test.column, test.cell) + "\n"))
		if err != nil || len(problems) != 1 || !problems[0].Warning || !strings.HasSuffix(problems[0].Message, "; write "+test.write) {
			t.Errorf("%s %s: %v, %v; want %q", test.column, test.cell, problems, err, test.write)
			continue
		}
		rules, problems, err := ParseRules([]byte(header + "\n" + rowOf(test.column, test.write) + "\n"))
		if err != nil || len(problems) != 0 {
			t.Errorf("%s %s, which is to be written: %v, %v", test.column, test.write, problems, err)
			continue
		}
		s := Default()
		s.Rules = rules
		if got := s.Channel("https://www.example.com/"+test.page, test.referrer).Channel; got != "C" {
			t.Errorf("%s %s does not fit /%s from %s", test.column, test.write, test.page, test.referrer)
		}
	}
	for _, test := range [][2]string{{"site", "not a host"}, {"medium", "(none)"}, {"source", "(direct)"}, {"source", "(not set)"}} {
		if _, problems, err := ParseRules([]byte(header + "\n" + rowOf(test[0], test[1]) + "\n")); err != nil || len(problems) != 1 || !problems[0].Warning {
			t.Errorf("%s %s: %v, %v", test[0], test[1], problems, err)
		}
	}
	for _, test := range [][2]string{
		{"site", "partner.com"}, {"site", "https://www.partner.com/"}, {"site", "youtube"}, {"site", "*partner.com/blog*"}, {"site", "*.pdf"}, {"site", "*google*"},
		{"site", "direct;[Account Website]"}, {"site", "https://*"}, {"site", "android-app://*"}, {"site", "müller.de"}, {"site", "http*"}, {"site", "Any Value"},
		{"medium", "e-mail"}, {"medium", "*cp*"}, {"medium", "display ads"}, {"source", "a/b"}, {"campaign", "Spring, Summer"}, {"campaign", "Men's"}, {"campaign", "50% (new)"},
		{"campaign", "A or B"}, {"page", "*/pricing*"}, {"page", "https://www.example.com/"}, {"page", "*?x=1"}, {"page", "*.html"}, {"page", "*pricing"},
	} {
		if _, problems, err := ParseRules([]byte(header + "\n" + rowOf(test[0], test[1]) + "\n")); err != nil || len(problems) > 0 {
			t.Errorf("%s %s: %v, %v", test[0], test[1], problems, err)
		}
	}
}
