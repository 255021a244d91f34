package mapping

import (
	"slices"
	"strings"

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
		var err error
		if site, err = publicsuffix.EffectiveTLDPlusOne(host); err != nil {
			site = host
		}
		c[host] = site
	}
	return site
}

// within says whether a host is the domain, or lies within it.
func within(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && domain != "" && (rest == "" || strings.HasSuffix(rest, "."))
}

func withinAny(host string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool {
		return within(host, strings.ToLower(strings.TrimPrefix(strings.TrimSpace(d), ".")))
	})
}
