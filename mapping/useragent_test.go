package mapping

import (
	"strings"
	"testing"
)

func TestUserAgent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ agent, browser, platform string }{
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10) AppleWebKit/603.2 (KHTML, like Gecko) Version/10.1.1 Safari/603.2", "Safari (603.2)", "Mac (10_10)"},
		// Salesforce shows the first two numbers alone, as in Adobe's data dictionary: "Chrome (65.0), Windows (6.1)".
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10_5) AppleWebKit/603.2.5 (KHTML, like Gecko) Version/10.1.1 Safari/603.2.5", "Safari (603.2)", "Mac (10_10)"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36", "Chrome (119.0)", "Mac (10_15)"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36 Edg/119.0.2151.58", "Edge (119.0)", "Windows (10.0)"},
		{"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763", "Edge (18.17763)", "Windows (10.0)"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:120.0) Gecko/20100101 Firefox/120.0", "Firefox (120.0)", "Windows (10.0)"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36 OPR/104.0.0.0", "Opera (104.0)", "Linux"},
		{"Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.18", "Opera (12.18)", "Windows (6.1)"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1", "Safari (604.1)", "iOS (17_1)"},
		{"Mozilla/5.0 (iPad; CPU OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/119.0.6045.109 Mobile/15E148 Safari/604.1", "Chrome (119.0)", "iOS (16_5)"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/119.0 Mobile/15E148 Safari/605.1.15", "Firefox (119.0)", "iOS (17_1)"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "Safari (605.1)", "iOS (17_1)"},
		{"Mozilla/5.0 (Linux; Android 13; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36", "Samsung Internet (23.0)", "Android (13)"},
		{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36", "Chrome (119.0)", "Android (10)"},
		{"Mozilla/5.0 (Linux; U; Android 4.0.3; de-de) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30", "Android Browser (4.0)", "Android (4.0)"},
		{"Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer (11.0)", "Windows (6.1)"},
		{"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)", "Internet Explorer (8.0)", "Windows (6.1)"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36", "Chrome (119.0)", "Chrome OS (14541.0)"},
		{"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15254", "Edge (15.15254)", "Windows Phone (10.0)"},
		{"curl/8.4.0", "", ""},
		{"", "", ""},
		{"Firefox/", "Firefox", ""},
		{strings.Repeat("x", 1012) + " Firefox/120.0.1", "Firefox (120)", ""},
		{strings.Repeat("é", 600) + " Firefox/120.0", "", ""},
	} {
		if browser, platform := browserOf(test.agent), platformOf(test.agent); browser != test.browser || platform != test.platform {
			t.Errorf("%s\nis %s on %s; want %s on %s", test.agent, browser, platform, test.browser, test.platform)
		}
	}
}

func FuzzUserAgent(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/119.0.0.0 Safari/537.36")
	f.Add("Opera/9.80 Trident/ rv:11 CrOS ")
	f.Fuzz(func(t *testing.T, agent string) {
		for _, got := range []string{browserOf(agent), platformOf(agent)} {
			if len(got) > maxUserAgent+32 || got != clean(got) {
				t.Errorf("%q gives %q", agent, got)
			}
		}
	})
}
