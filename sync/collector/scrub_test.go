package collector

import (
	"strings"
	"testing"

	"callpoint/mapping"
)

func TestScrubURL(t *testing.T) {
	t.Parallel()
	const h = "https://www.example.com/"
	for _, c := range []struct{ in, want string }{
		// named parameters
		{h + "?email=jane&x=1", h + "?email=scrubbed&x=1"},
		{h + "?x=1&eMail=jane%40example.com", h + "?x=1&eMail=scrubbed"},
		{h + "?user_email=a&contact[email]=b&contact%5Bemail%5D=c&userEmail=d", h + "?user_email=scrubbed&contact[email]=scrubbed&contact%5Bemail%5D=scrubbed&userEmail=scrubbed"},
		{h + "?e%6Dail=a", h + "?e%6Dail=scrubbed"},
		{h + "?phone=2065550100&Phone-Number=1&mobile=2&tel=3", h + "?phone=scrubbed&Phone-Number=scrubbed&mobile=scrubbed&tel=scrubbed"},
		{h + "?ip=203.0.113.7&client_ip=x", h + "?ip=scrubbed&client_ip=scrubbed"},
		{h + "?a=1;email=jane;b=2", h + "?a=1;email=scrubbed;b=2"},
		{h + "?a=1&amp;email=jane", h + "?a=1&amp;email=scrubbed"},
		{h + "?email=&x", h + "?email=&x"},
		// values that look personal
		{h + "?q=jane@example.com", h + "?q=scrubbed"},
		{h + "?q=jane%40example.com", h + "?q=scrubbed"},
		{h + "?q=jane%2540example.com", h + "?q=scrubbed"},
		{h + "?next=%2Fwelcome%3Fmail%3Djane%40example.co.uk%26y%3D1&z=2", h + "?next=scrubbed&z=2"},
		{h + "?next=/welcome?who=jane@example.com&z=2", h + "?next=/welcome?who=scrubbed&z=2"},
		{h + "?jane@example.com", h + "?scrubbed"},
		{h + "?q=%ZZjane@example.com", h + "?q=scrubbed"},
		{h + "?c=+12065550100", h + "?c=scrubbed"},
		{h + "?c=%2B44%2020%207946%200958", h + "?c=scrubbed"},
		{h + "?c=(206)+555-0100", h + "?c=scrubbed"},
		{h + "?c=206-555-0100", h + "?c=scrubbed"},
		{h + "?c=206.555.0100", h + "?c=scrubbed"},
		{h + "?c=call+1-206-555-0100+now", h + "?c=scrubbed"},
		{h + "?c=tel:2065550100", h + "?c=scrubbed"},
		{h + "?c=0171+1234567", h + "?c=scrubbed"},
		{h + "?c=06+12+34+56+78", h + "?c=scrubbed"},
		{h + "?c=203.0.113.7", h + "?c=scrubbed"},
		{h + "?c=2001%3Adb8%3A%3A1", h + "?c=scrubbed"},
		// fragments
		{h + "#email=jane", h + "#email=scrubbed"},
		{h + "?a=1#/thanks?email=jane&b=2", h + "?a=1#/thanks?email=scrubbed&b=2"},
		{h + "#jane@example.com", h + "#scrubbed"},
		// the path, and the part before the host
		{h + "unsubscribe/jane@example.com/x?y=1", h + "unsubscribe/scrubbed/x?y=1"},
		{h + "unsubscribe/jane%40example.com", h + "unsubscribe/scrubbed"},
		{h + "call/+12065550100", h + "call/scrubbed"},
		{"https://jane:secret@www.example.com/x", h + "x"},
		{"https://jane@www.example.com", "https://www.example.com"},
		{"mailto:jane@example.com", "scrubbed"},
	} {
		s := newScrubber(DefaultScrub)
		if got := s.url(c.in); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		} else if again := s.url(got); again != got {
			t.Errorf("%s\nscrubbed again %s", got, again)
		}
	}
}

// What channel rules and fields read must come through byte for byte.
func TestScrubKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"",
		"null",
		"android-app://com.google.android.gm/",
		"https://www.google.com/",
		"https://www.example.com/?utm_source=email&utm_medium=e-mail&utm_campaign=2026-11-23&utm_content=mobile",
		"http://info.example.com/demo?_bt=195329631301&_bk=bizible%20attribution&_bm=p&_bg=16750166675&gclid=EAIaIQobChMI-12345-67890_BwE",
		"https://www.example.com/?gad_campaignid=21234567890&hsa_cam=12345678901&hsa_ad=640123456789&utm_id=120210000000000000",
		"https://www.example.com/?fbclid=IwAR2-0123456789-0987654321abc&msclkid=1b2c3d4e5f60718293a4b5c6d7e8f901",
		"https://www.example.com/?id=550e8400-e29b-41d4-a716-446655440000&ts=1700000000&v=1.2.3&d=2026-11-23T10:00:00",
		"https://www.example.com/?q=50%+off&bad=%zz&&=&;;&a=b=c#section-2",
		"https://www.example.com/blog/2026/11/23/1234567890/#/pricing",
		"https://www.example.com/@handle/status/1234567890123456789",
		"https://www.example.com/caf%C3%A9?name=caf%C3%A9&x=%E4%BD%A0",
		"https://www.example.com/?price=100-200&range=2000-2026&coords=47.6062,-122.3321&size=10x20",
		"https://10.0.0.1:8080/intranet?user=@jane",
	} {
		if got := newScrubber(DefaultScrub).url(u); got != u {
			t.Errorf("%s\nbecame %s", u, got)
		}
	}
}

func TestScrubListIsConfigurable(t *testing.T) {
	t.Parallel()
	s := newScrubber([]string{"customer_no", "pre*", "*post", "*mid*", "", "*"})
	const in = "https://x/?customerNo=1&prefix=2&xpost=3&amidb=4&email=jane&other=5"
	if got, want := s.url(in), "https://x/?customerNo=scrubbed&prefix=scrubbed&xpost=scrubbed&amidb=scrubbed&email=jane&other=5"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Nothing personal passes, whatever field it is sent in.
func TestNothingPersonalIsStored(t *testing.T) {
	t.Parallel()
	s := serve(t)
	u := quote("https://www.example.com/jane@example.com?email=jane@example.com&p=%2B12065550100#email=jane%40example.com")
	s.post(t, "/v1/events", view("url", u, "referrer", u, "title", `"Thanks, jane@example.com"`, "ip", `"203.0.113.7"`, "email", `"jane@example.com"`))
	s.post(t, "/v1/sessions", sessionLine("landing_page", u, "referrer", u, "form_url", u, "ip", `"203.0.113.7"`))
	s.request(t, "GET", "/m/frm?"+browserQuery("_biz_l", "https://x/?email=jane@example.com", "_biz_i", "+1 206 555 0100", "eMail", "jane@example.com"), "")
	check := func(what any, fields ...string) {
		for _, f := range fields {
			for _, bad := range []string{"jane", "2065550100", "206 555", "203.0"} {
				if strings.Contains(f, bad) {
					t.Errorf("%+v holds %s", what, bad)
				}
			}
		}
	}
	if s.store.count() != 3 {
		t.Fatalf("%d records stored", s.store.count())
	}
	for _, e := range s.store.events {
		check(e, e.URL, e.Referrer, e.Title, e.Geo.City)
	}
	v := s.store.visit(t)
	check(v, v.LandingPage, v.Referrer, v.FormURL)
	if v.Geo != (mapping.Geo{}) {
		t.Errorf("%+v", v.Geo)
	}
}

func TestBots(t *testing.T) {
	t.Parallel()
	for ua, want := range map[string]string{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                               botCrawler,
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)":                                botCrawler,
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)": botCrawler,
		"Mozilla/5.0 (compatible; Baiduspider/2.0)":                                                              botCrawler,
		"Mozilla/5.0 (compatible; Yahoo! Slurp)":                                                                 botCrawler,
		"AdsBot-Google (+http://www.google.com/adsbot.html)":                                                     botCrawler,
		"SomeRobots":                     botCrawler,
		"Screaming Frog SEO Spider/19.0": botCrawler,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36": botHeadless,
		"Mozilla/5.0 (Unknown; Linux) AppleWebKit/538.1 PhantomJS/2.1.1":                                                botHeadless,
		"Mozilla/5.0 (compatible; Pingdom.com_bot_version_1.4)":                                                         botMonitor,
		"Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)":                                        botMonitor,
		"Mozilla/5.0 (Linux; Android 11) Chrome/119 Mobile Safari/537.36 Chrome-Lighthouse":                             botMonitor,
		"facebookexternalhit/1.1":                                    botPreview,
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)": botPreview,
		"LinkedInBot/1.0":                                            botPreview,
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36":                "",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148":           "",
		"Mozilla/5.0 (Linux; Android 10; CUBOT_X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile Safari/537.36":                  "",
		"Mozilla/5.0 (Linux; Android 9; CUBOT P40) AppleWebKit/537.36 Chrome/120.0 Mobile":                                                     "",
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile [FBAN/EMA;FBLC/de_DE;FBAV/391.0]":                              "",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [Pinterest/iOS] LinkedInApp/9.29 Instagram": "",
		"curl/8.5.0":             "",
		"python-requests/2.32.0": "",
		"Go-http-client/1.1":     "",
		"Robotics Portal/1.0":    "",
		"":                       "",
	} {
		cache := newBotCache()
		for range 2 { // the second time from the cache
			if got := cache.reason(ua); got != want {
				t.Errorf("%s: %q, want %q", ua, got, want)
			}
		}
	}
	cache := newBotCache()
	for i := range 3 * maxAgents {
		cache.reason(strings.Repeat("x", i))
	}
	if len(cache.seen) > maxAgents {
		t.Errorf("%d user agents remembered", len(cache.seen))
	}
}
