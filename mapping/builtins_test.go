package mapping

import (
	"slices"
	"strings"
	"testing"
)

// builtinsOf names the built-in logic that a landing fits, in the order of the constants.
func builtinsOf(page, referrer string) string {
	o := Default().readLanding(siteCache{}, Landing{"https://www.example.com/" + page, referrer})
	var names []string
	for b := range builtinCount {
		for name, c := range builtinNames {
			if c == b && o.builtins[b] {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}

func TestBuiltins(t *testing.T) {
	t.Parallel()
	const (
		google = "https://www.google.com/"
		bing   = "https://www.bing.com/"
		yahoo  = "https://search.yahoo.com/"
		blog   = "https://blog.example.net/"
	)
	seen := make(map[string]bool)
	for _, test := range []struct{ page, referrer, want string }{
		// Google Ads, by each of its signs.
		{"?gclid=1", google, "adwords paid search"},
		{"?gbraid=1", "", "adwords paid search"},
		{"?wbraid=1", "https://www.example.com/", "adwords paid search, account website"},
		{"?gad_source=1", blog, "adwords paid search"},
		{"?gad_source=5", blog, "adwords display"},
		{"?gclid=1", blog, "adwords display"},
		{"?_bt=1&_bk=shoes", google, "adwords paid search"},
		{"?_bt=1", google, "google organic search"},
		{"?_bt=1&_bk=shoes", bing, "bing paid search"},
		{"?_bt=1&_bn=s", blog, "adwords paid search"},
		{"?_bt=1&_bn=G", blog, "adwords paid search"},
		{"?_bt=1&_bn=d", google, "adwords display"},
		{"?utm_source=google&utm_medium=cpc", "", "adwords paid search"},
		{"?utm_source=AdWords&utm_medium=PPC", google, "adwords paid search"},
		{"?utm_source=google&utm_medium=display", google, "adwords display"},
		{"?gclid=1&utm_medium=banner", google, "adwords display"},
		{"?utm_source=google&utm_medium=social", "", ""},
		{"?gclid=1&gclsrc=ds", google, "google organic search"},
		{"?gclid=1&gclsrc=3p.ds", bing, "bing paid search"},
		{"?gclid=1&gclsrc=aw.ds", google, "adwords paid search"},
		// DoubleClick.
		{"?dclid=1", blog, "doubleclick"},
		{"?gclid=1&dclid=1", google, "adwords paid search, doubleclick"},
		{"?gclid=1&dclid=1", blog, "doubleclick"},
		{"?gclid=1&dclid=1", "", "doubleclick"},
		{"", "https://ad.doubleclick.net/x", "doubleclick"},
		{"?gclid=1", "https://ad.doubleclick.net/x", "adwords display"},
		// Microsoft and Yahoo.
		{"?msclkid=1", bing, "bing paid search"},
		{"?msclkid=1", "", "bing paid search"},
		{"?utm_source=bing&utm_medium=cpc", "", "bing paid search"},
		{"?utm_source=bing&_bt=1", "", "bing paid search"},
		{"?utm_source=bing", bing, "bing organic search"},
		{"?_bt=1", bing, "bing paid search"},
		{"?_bt=1", "", ""},
		{"?msclkid=1", yahoo, "yahoo paid search"},
		{"?utm_medium=cpc", yahoo, "yahoo paid search"},
		{"?utm_source=yahoo&utm_medium=cpc", "", "yahoo paid search"},
		{"?utm_source=yahoo", "", ""},
		// Social networks that are paid.
		{"?_bf=1", "", "facebook paid"},
		{"?utm_source=facebook&utm_medium=cpc", "", "facebook paid"},
		{"?utm_source=meta&utm_medium=paid_social", "", "facebook paid"},
		{"?utm_medium=cpc", "https://m.facebook.com/", "facebook paid"},
		{"?utm_medium=cpc&fbclid=1", "", "facebook paid"},
		{"?utm_medium=cpc&utm_source=x&fbclid=1", "", "other paid social"},
		{"?fbclid=1", "https://l.facebook.com/", "facebook"},
		{"?fbclid=1", "", "facebook"},
		{"?fbclid=1&utm_source=partner", "", ""},
		{"?fbclid=1", blog, ""},
		{"?_bl=1", "", "linkedin paid"},
		{"?li_fat_id=1", "", "linkedin paid"},
		{"?utm_source=li&utm_medium=cpc", "", "linkedin paid"},
		{"?utm_medium=paid", "https://www.linkedin.com/", "linkedin paid"},
		// Other paid visits.
		{"?utm_medium=cpc", google, "other paid search"},
		{"?utm_medium=cpc&utm_source=duckduckgo", "", "other paid search"},
		{"?utm_medium=sem", "", "other paid search"},
		{"?utm_medium=paid-search", "", "other paid search"},
		{"?utm_medium=cpc&utm_source=newsletter", "", ""},
		{"?utm_medium=cpc&utm_source=tiktok", "", "other paid social"},
		{"?utm_medium=cpc", "https://www.pinterest.com/", "other paid social"},
		{"?utm_medium=paid+social", "", "other paid social"},
		{"?twclid=1", "", "other paid social"},
		{"?ttclid=1", "", "other paid social"},
		{"?rdt_cid=1", "https://www.reddit.com/", "other paid social"},
		{"?utm_medium=cpm", google, ""},
		{"?utm_medium=retargeting&utm_source=google", "", "adwords paid search"},
		// Unpaid.
		{"", google, "google organic search"},
		{"?utm_source=google&utm_medium=organic", "", "google organic search"},
		{"?utm_source=google&utm_medium=organic&gclid=1", "", "adwords paid search"},
		{"", bing, "bing organic search"},
		{"", yahoo, "yahoo organic search"},
		{"", "https://www.ecosia.org/", "other organic search"},
		{"?utm_medium=display", google, ""},
		{"", "https://www.linkedin.com/", "linkedin"},
		{"", "https://t.co/x", "twitter"},
		{"", "https://www.instagram.com/", "instagram, other social"},
		{"", "https://www.youtube.com/", "youtube, other social"},
		{"", "https://www.reddit.com/", "other social"},
		{"", "https://mail.google.com/", "web mail"},
		{"", "https://chatgpt.com/", "ai assistant"},
		{"", "https://www.example.com/", "account website"},
		{"", "https://accounts.google.com/", "account website"},
		{"", blog, ""},
		{"", "", ""},
	} {
		got := builtinsOf(test.page, test.referrer)
		if got != test.want {
			t.Errorf("%q from %q fits [%s], want [%s]", test.page, test.referrer, got, test.want)
		}
		for _, name := range strings.Split(got, ", ") {
			seen[name] = true
		}
	}
	for name := range builtinNames {
		if !seen[name] {
			t.Errorf("no case fits [%s]", name)
		}
	}
}

func TestSourceAndMedium(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ page, referrer, source, medium string }{
		{"?gclid=1", "", "Google AdWords", "CPC"},
		{"?gclid=1&utm_medium=banner&utm_source=x", "", "Google AdWords", "banner"},
		{"?gad_source=2", "https://blog.example.net/", "Google AdWords", "Display"},
		{"?msclkid=1", "", "Bing Ads", "CPC"},
		{"?msclkid=1", "https://search.yahoo.com/", "Bing Ads", "CPC"},
		{"?utm_source=yahoo&utm_medium=cpc", "", "yahoo", "cpc"},
		{"?utm_medium=cpc", "https://search.yahoo.com/", "Web", "cpc"},
		{"?_bf=1", "", "Facebook", "Paid Social"},
		{"?_bl=1", "", "LinkedIn", "Paid Social"},
		{"?dclid=1&utm_source=dc", "", "dc", "Display"},
		{"", "https://www.google.com/", "Organic - Google", "Search"},
		{"?utm_source=Google&utm_medium=organic", "", "Organic - Google", "organic"},
		{"?utm_source=partner", "https://duckduckgo.com/", "Organic - DuckDuckGo", "Search"},
		{"", "https://www.reddit.com/", "Web", "Social"},
		{"?utm_source=Spring+Mail", "https://mail.google.com/", "Spring Mail", "Email"},
		{"", "https://chatgpt.com/", "Web", "Web"},
		{"", "https://blog.example.net/", "Web", "Web"},
		{"", "", "Web Direct", "Web"},
		{"", "https://www.example.com/", "Web Direct", "Web"},
	} {
		o := Default().readLanding(siteCache{}, Landing{"https://www.example.com/" + test.page, test.referrer})
		if o.sourceName() != test.source || o.mediumName() != test.medium {
			t.Errorf("%q from %q is %s, %s; want %s, %s", test.page, test.referrer, o.sourceName(), o.mediumName(), test.source, test.medium)
		}
	}
}

func TestPaidMedium(t *testing.T) {
	t.Parallel()
	for _, medium := range strings.Fields("cpc ppc cpv xcpx retargeting paid paidsearch paid_social") {
		if !isPaid(medium) {
			t.Errorf("%s is not paid", medium)
		}
	}
	for _, medium := range strings.Fields("cpm display paid-display banner interstitial expandable organic email ppcx unpaid social") {
		if isPaid(medium) {
			t.Errorf("%s is paid", medium)
		}
	}
	if slices.Contains([]bool{isDisplay("display"), isDisplay("banner"), isDisplay("expandable"), isDisplay("interstitial"), isDisplay("cpm")}, false) {
		t.Error("a display medium is not display")
	}
}
