package mapping

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

// refClass says what kind of site a visitor came from.
type refClass string

const (
	noReferrer refClass = "none"
	ownSite    refClass = "own"
	signIn     refClass = "sign-in"
	webmail    refClass = "webmail"
	assistant  refClass = "assistant"
	search     refClass = "search"
	social     refClass = "social"
	otherSite  refClass = "other"
)

// signInHosts are passed through on the way, and are nowhere a visitor comes from.
var signInHosts = []string{"accounts.google.com", "login.microsoftonline.com", "login.live.com", "appleid.apple.com"}

// siteClass tells none, own and sign-in apart from a site elsewhere, which is "other" here.
func (s *Settings) siteClass(sites siteCache, referrer, page string) refClass {
	switch {
	case referrer == "":
		return noReferrer
	case referrer == page || page != "" && sites.site(referrer) == sites.site(page) || withinAny(referrer, s.OwnDomains):
		return ownSite
	case withinAny(referrer, signInHosts) || withinAny(referrer, s.IgnoredReferrers):
		return signIn
	}
	return otherSite
}

// siteCache remembers the registrable domain of hosts.
type siteCache map[string]string

// site is the registrable domain of a host; an address, or a name without one, is its own.
func (c siteCache) site(host string) string {
	site, ok := c[host]
	if !ok {
		site = registrable(host)
		c[host] = site
	}
	return site
}

func registrable(host string) string {
	site, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return site
}

// within reports whether a host is the domain, or lies within it.
func within(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && domain != "" && (rest == "" || strings.HasSuffix(rest, "."))
}

func withinAny(host string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return within(host, domainName(d)) })
}

// domainName returns the canonical host of a domain that somebody wrote: "*.Example.com", "münchen.example".
func domainName(s string) string {
	s = strings.TrimLeft(tidyURL(s), "*.")
	if host := hostOf(s); host != "" {
		return host
	}
	return asciiHost(strings.ToLower(s))
}

// known is a site that the lists name.
type known struct {
	class  refClass
	name   string
	params []string // hold the search phrase
	strict bool     // a portal: a search engine only with a search phrase
}

//go:embed data/referrers.tsv
var referrersTSV string

// webmailHosts are where people read mail in the browser; an Android app sends its package name.
var webmailHosts = strings.Fields(`mail.google.com com.google.android.gm outlook.live.com outlook.office.com outlook.office365.com
	com.microsoft.office.outlook mail.yahoo.* com.yahoo.mobile.client.android.mail mail.aol.com mail.proton.me mail.protonmail.com
	mail.zoho.* e.mail.ru mail.yandex.* mail.qq.com mail.163.com mail.126.com mail.naver.com mail.daum.net
	mail.gmx.net navigator.gmx.net navigator.web.de mail.ionos.* fastmail.com app.hey.com icloud.com mail.com mail.tutanota.com app.tuta.com`)

// appHosts are apps of networks, by the package name that Android puts in their referrer.
var appHosts = map[string]string{
	"com.facebook.katana": "Facebook", "com.facebook.orca": "Facebook", "fb.com": "Facebook",
	"com.instagram.android": "Instagram", "com.twitter.android": "Twitter",
	"com.google.android.youtube": "YouTube", "com.pinterest": "Pinterest",
}

// knownSites reads the lists once, by host. A host may stand in several: as webmail first,
// then as assistant, search engine and network.
var knownSites = sync.OnceValue(func() map[string][]known {
	sites := make(map[string][]known)
	for _, host := range webmailHosts {
		sites[host] = append(sites[host], known{class: webmail, name: "Webmail"})
	}
	for host, name := range appHosts {
		sites[host] = append(sites[host], known{class: social, name: name})
	}
	for line := range strings.Lines(referrersTSV) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || len(f) != 4 {
			continue
		}
		for _, host := range strings.Fields(f[3]) {
			k := known{class: refClass(f[0]), name: f[1], params: strings.Split(f[2], ",")}
			host, k.strict = strings.CutPrefix(host, "?")
			sites[host] = append(sites[host], k)
		}
	}
	return sites
})

// identify says what kind of site elsewhere a referrer is, by the lists: the first class
// that fits wins, and within it the longest name.
func identify(l link) (class refClass, name, phrase string) {
	hits := knownHits(l.host)
	for _, class := range []refClass{webmail, assistant, search, social} {
		if class == search && isGoogle(l.host) {
			return search, "Google", parseParams(l.query).get("q")
		}
		for _, k := range hits {
			if k.class != class {
				continue
			}
			phrase := ""
			if class == search && l.query != "" {
				phrase = parseParams(l.query).get(k.params...)
			}
			if !k.strict || phrase != "" {
				return class, k.name, phrase
			}
		}
	}
	return otherSite, "", ""
}

// knownHits finds what the lists say of a host and of the domains around it, the longest name
// first. "mail.yahoo.*" stands for any public suffix in the place of the star.
func knownHits(host string) []known {
	var hits []known
	sites := knownSites()
	suffix, _ := publicsuffix.PublicSuffix(host)
	for name := host; name != ""; {
		hits = append(hits, sites[name]...)
		if start, ok := strings.CutSuffix(name, "."+suffix); ok {
			hits = append(hits, sites[start+".*"]...)
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return hits
}

// isGoogle reports whether a host is Google's search, and not one of its many other services.
func isGoogle(host string) bool {
	site := registrable(host)
	if !strings.HasPrefix(site, "google.") {
		return false
	}
	switch strings.TrimSuffix(host, site) {
	case "", "www.", "m.", "images.", "news.", "maps.", "scholar.", "encrypted.":
		return true
	}
	return false
}

// engineNames are what a utm_source calls a search engine, and networkNames a social network, in lower case.
var engineNames, networkNames = sync.OnceValue(func() map[string]bool { return namesOf(search) }),
	sync.OnceValue(func() map[string]bool { return namesOf(social) })

// namesOf lists the names and the hosts of a class: a source may be "duckduckgo" or "duckduckgo.com".
func namesOf(class refClass) map[string]bool {
	names := make(map[string]bool)
	for host, list := range knownSites() {
		for _, k := range list {
			if k.class == class && !k.strict {
				names[strings.ToLower(k.name)] = true
				names[host] = true
			}
		}
	}
	for _, extra := range map[refClass][]string{
		search: {"google", "google.com", "duck"},
		social: {"fb", "ig", "meta", "li", "x", "yt", "tik-tok", "x.com"},
	}[class] {
		names[extra] = true
	}
	return names
}
