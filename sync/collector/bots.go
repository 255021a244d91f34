package collector

import (
	"strings"
	"sync"
)

// Why a user agent counts as a bot. The values are metric labels.
const (
	botCrawler  = "crawler"
	botHeadless = "headless"
	botMonitor  = "monitor"
	botPreview  = "preview" // fetches a page to show a card for a link
)

// botPrerender is a browser that loads a page ahead, which nobody may ever see.
const botPrerender = "prerender"

var botReasons = []string{botCrawler, botHeadless, botMonitor, botPreview, botPrerender}

// botTokens are looked for in a user agent in lower case, in this order. Libraries (curl,
// python-requests, Go-http-client) are absent on purpose: servers that pass on real visits
// use them. The plain words at the end catch most of the rest.
var botTokens = []struct{ token, reason string }{
	{"headlesschrome", botHeadless},
	{"phantomjs", botHeadless},
	{"slimerjs", botHeadless},
	{"puppeteer", botHeadless},
	{"playwright", botHeadless},
	{"selenium", botHeadless},
	{"webdriver", botHeadless},
	{"cypress/", botHeadless},
	{"jsdom/", botHeadless},

	{"pingdom", botMonitor},
	{"uptime", botMonitor},
	{"statuscake", botMonitor},
	{"site24x7", botMonitor},
	{"newrelicpinger", botMonitor},
	{"datadog", botMonitor},
	{"catchpoint", botMonitor},
	{"dynatrace", botMonitor},
	{"gtmetrix", botMonitor},
	{"lighthouse", botMonitor},
	{"pagespeed", botMonitor},
	{"ptst/", botMonitor},
	{"checkly", botMonitor},
	{"hetrix", botMonitor},
	{"freshping", botMonitor},
	{"check_http", botMonitor},
	{"blackbox exporter", botMonitor},

	{"slackbot", botPreview},
	{"twitterbot", botPreview},
	{"linkedinbot", botPreview},
	{"telegrambot", botPreview},
	{"discordbot", botPreview},
	{"facebookexternalhit", botPreview},
	{"facebookcatalog", botPreview},
	{"whatsapp/", botPreview},
	{"skypeuripreview", botPreview},
	{"slack-imgproxy", botPreview},
	{"embedly", botPreview},
	{"iframely", botPreview},
	{"outbrain", botPreview},
	{"vkshare", botPreview},
	{"google-read-aloud", botPreview},
	{"google favicon", botPreview},

	{"mediapartners-google", botCrawler},
	{"google-inspectiontool", botCrawler},
	{"google-extended", botCrawler},
	{"googleother", botCrawler},
	{"google web preview", botCrawler},
	{"bingpreview", botCrawler},
	{"yahoo! slurp", botCrawler},
	{"ia_archiver", botCrawler},
	{"archive.org", botCrawler},
	{"feedfetcher", botCrawler},
	{"meta-externalagent", botCrawler},
	{"chatgpt-user", botCrawler},
	{"claude-user", botCrawler},
	{"perplexity-user", botCrawler},
	{"scrapy", botCrawler},
	{"nutch", botCrawler},
	{"httrack", botCrawler},
	{"w3c_validator", botCrawler},
	{"spider", botCrawler},
	{"crawl", botCrawler},
	{"+http", botCrawler}, // the address where a crawler explains itself
}

// botReason returns why a user agent counts as a bot; empty if it does not.
func botReason(agent string) string {
	ua := strings.ToLower(agent)
	for _, t := range botTokens {
		if strings.Contains(ua, t.token) {
			return t.reason
		}
	}
	if saysBot(ua) {
		return botCrawler
	}
	return ""
}

// saysBot finds "bot" at the end of a word, as in Googlebot/2.1. Cubot makes telephones.
func saysBot(ua string) bool {
	for rest := ua; ; {
		before, after, found := strings.Cut(rest, "bot")
		if !found {
			return false
		}
		after2 := strings.TrimPrefix(after, "s")
		endsWord := after2 == "" || after2[0] < 'a' || after2[0] > 'z'
		if endsWord && !strings.HasSuffix(before, "cu") {
			return true
		}
		rest = after
	}
}

// botCache remembers answers: a body holds the same few user agents again and again.
type botCache struct {
	mu   sync.Mutex
	seen map[string]string // guarded by mu
}

const maxAgents = 1024

func newBotCache() *botCache { return &botCache{seen: map[string]string{}} }

func (c *botCache) reason(agent string) string {
	if agent == "" {
		return ""
	}
	agent = cut(agent, maxAgent)
	c.mu.Lock()
	defer c.mu.Unlock()
	reason, ok := c.seen[agent]
	if !ok {
		if len(c.seen) == maxAgents {
			clear(c.seen)
		}
		reason = botReason(agent)
		c.seen[strings.Clone(agent)] = reason
	}
	return reason
}
