package mapping

import "testing"

func TestReferrerClass(t *testing.T) {
	t.Parallel()
	s := Default()
	s.OwnDomains, s.IgnoredReferrers = []string{"example-shop.net"}, []string{" Pay.example.net "}
	for _, test := range []struct {
		referrer string
		class    refClass
		name     string
	}{
		{"", noReferrer, ""},
		{"null", noReferrer, ""},
		{"about:blank", noReferrer, ""},
		{"%%%", noReferrer, ""},
		{"https://www.example.com/a", ownSite, ""},
		{"https://shop.example.com/", ownSite, ""},
		{"https://www.example-shop.net/", ownSite, ""},
		{"https://example.com.evil.net/", otherSite, ""},
		{"https://notexample.com/", otherSite, ""},
		{"https://accounts.google.com/signin", signIn, ""},
		{"https://login.microsoftonline.com/", signIn, ""},
		{"https://pay.example.net/3ds", signIn, ""},
		{"https://mail.google.com/", webmail, "Gmail"},
		{"android-app://com.google.android.gm/", webmail, "Gmail"},
		{"https://outlook.live.com/", webmail, "Outlook"},
		{"https://mail.yahoo.co.jp/", webmail, "Yahoo Mail"},
		{"https://eu-mail.yahoo.com/", otherSite, ""},
		{"https://us-mg6.mail.yahoo.com/", webmail, "Yahoo Mail"},
		{"https://outlook.cloud.microsoft/", webmail, "Outlook"},
		{"https://nam12.safelinks.protection.outlook.com/?url=x", webmail, "Outlook"},
		{"https://deref-gmx.net/mail/client", webmail, "GMX"},
		{"https://3c-bap.web.de/mail", webmail, "WEB.DE"},
		{"https://webmail.provider.example/", webmail, "Webmail"},
		{"https://webmail2.bigpond.com/", webmail, "Webmail"},
		{"https://mywebmail.example/", otherSite, ""},
		{"https://urldefense.com/v3/__x", webmail, "Proofpoint"},
		{"https://syndicatedsearch.goog/", search, "Google"},
		{"https://cse.google.de/", search, "Google"},
		{"https://maps.yandex.ru/?text=x", otherSite, ""},
		{"https://m.yandex.ru/", search, "Yandex"},
		{"https://images.yandex.ru/search", search, "Yandex"},
		{"https://zhidao.baidu.com/question", otherSite, ""},
		{"https://malaysia.search.yahoo.com/", search, "Yahoo"},
		{"https://finance.yahoo.com/", otherSite, ""},
		{"https://x.com/i/grok", assistant, "Grok"},
		{"https://x.com/i/groks", social, "Twitter"},
		{"https://chatgpt.com/", assistant, "ChatGPT"},
		{"https://gemini.google.com/", assistant, "Gemini"},
		{"https://www.perplexity.ai/search?q=x", assistant, "Perplexity"},
		{"https://www.google.com/", search, "Google"},
		{"https://google.com/", search, "Google"},
		{"https://www.google.co.uk/url?q=", search, "Google"},
		{"https://images.google.de/", search, "Google"},
		{"android-app://com.google.android.googlequicksearchbox/", search, "Google"},
		{"https://docs.google.com/document", otherSite, ""},
		{"https://drive.google.com/", otherSite, ""},
		{"https://google.evil.com/", otherSite, ""},
		{"https://www.google.com.evil.net/", otherSite, ""},
		{"https://www.bing.com/", search, "Bing"},
		{"https://cn.bing.com/search?q=x", search, "Bing"},
		{"https://notbing.com/", otherSite, ""},
		{"https://search.yahoo.com/", search, "Yahoo"},
		{"https://de.search.yahoo.com/", search, "Yahoo"},
		{"https://search.yahoo.co.jp/", search, "Yahoo"},
		{"https://duckduckgo.com/", search, "DuckDuckGo"},
		{"https://yandex.com.tr/", search, "Yandex"},
		{"https://www.facebook.com/", social, "Facebook"},
		{"https://lm.facebook.com/l.php", social, "Facebook"},
		{"android-app://com.facebook.katana", social, "Facebook"},
		{"https://lnkd.in/x", social, "LinkedIn"},
		{"android-app://com.linkedin.android/", social, "LinkedIn"},
		{"https://t.co/abc", social, "Twitter"},
		{"https://x.com/", social, "Twitter"},
		{"https://netflix.com/", otherSite, ""},
		{"https://m.youtube.com/", social, "YouTube"},
		{"https://www.icq.com/", otherSite, ""},
		{"https://www.icq.com/search/results.php?q=shoes", search, "ICQ"},
		{"https://blog.example.net/", otherSite, ""},
	} {
		o := s.readLanding(siteCache{}, Landing{"https://www.example.com/", test.referrer})
		if o.class != test.class || o.name != test.name {
			t.Errorf("%s is %s %q, want %s %q", test.referrer, o.class, o.name, test.class, test.name)
		}
	}
}

func TestSearchPhrase(t *testing.T) {
	t.Parallel()
	s := Default()
	for _, test := range []struct{ page, referrer, want string }{
		{"https://example.com/", "https://www.google.com/search?q=red+shoes", "red shoes"},
		{"https://example.com/", "https://www.google.com/", "(not provided)"},
		{"https://example.com/", "https://search.yahoo.com/search?p=red%20shoes", "red shoes"},
		{"https://example.com/", "https://www.bing.com/search?x=1", "(not provided)"},
		{"https://example.com/?gclid=1", "", "(not provided)"},
		{"https://example.com/", "https://www.linkedin.com/?q=x", ""},
		{"https://example.com/", "", ""},
	} {
		if got := s.readLanding(siteCache{}, Landing{test.page, test.referrer}).searchPhrase(); got != test.want {
			t.Errorf("%s from %s was searched by %q, want %q", test.page, test.referrer, got, test.want)
		}
	}
}
