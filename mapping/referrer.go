package mapping

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

// refClass is the kind of site that a visitor came from.
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

// siteClass returns none, own or sign-in, and "other" for any other site.
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
	host   string   // as in the list
	path   string   // where the site begins at a path
	params []string // hold the search phrase
	strict bool     // a portal: a search engine only with a search phrase
}

//go:embed data/referrers.tsv
var referrersTSV string

//go:embed data/own.tsv
var ownTSV string

// knownSites reads the lists once, by host. A host may be in several classes.
var knownSites = sync.OnceValue(func() map[string][]known {
	sites := make(map[string][]known)
	for _, k := range parseSites(referrersTSV + "\n" + ownTSV) {
		sites[k.host] = append(sites[k.host], k)
	}
	return sites
})

func parseSites(tsv string) (list []known) {
	for line := range strings.Lines(tsv) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || len(f) != 4 {
			continue
		}
		for _, host := range strings.Fields(f[3]) {
			k := known{class: refClass(f[0]), name: f[1], params: strings.Split(f[2], ",")}
			for i := range k.params {
				k.params[i] = paramKey(k.params[i])
			}
			host, k.strict = strings.CutPrefix(host, "?")
			host, k.path, _ = strings.Cut(host, "/")
			k.host = strings.ToLower(host)
			list = append(list, k)
		}
	}
	return list
}

// identify finds the class of a referrer from elsewhere, by the lists: the first class that
// fits wins, and within it the longest name.
func identify(l link) (class refClass, name, phrase string) {
	hits := knownHits(l)
	for _, class := range []refClass{webmail, assistant, search, social} {
		switch {
		case class == search && isGoogle(l.host):
			return search, "Google", parseParams(l.query).get("q")
		case class == webmail && isMailHost(l.host):
			return webmail, "Webmail", ""
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

// mailHost matches hosts that are webmail by their name, whoever runs them.
var mailHost = regexp.MustCompile(`^(?:[a-z0-9-]+\.)*?(?:web-?mail[0-9]*|roundcube|squirrelmail|horde|owa)\.[a-z0-9-]+\.`)

func isMailHost(host string) bool {
	// The regular expression is slow, and most hosts have none of its words.
	for _, word := range []string{"mail", "roundcube", "horde", "owa."} {
		if strings.Contains(host, word) {
			return mailHost.MatchString(host)
		}
	}
	return false
}

// knownHits finds the entries of the lists for a host and the domains around it, the longest
// name first. In a list, "mail.yahoo.*" is any public suffix in the place of the star, and
// "mail#.example.com" any number, or word of up to four letters, in the place of the sign.
func knownHits(l link) []known {
	var hits []known
	sites := knownSites()
	suffix, _ := publicsuffix.PublicSuffix(l.host)
	add := func(name, below string) {
		for _, k := range sites[name] {
			if k.covers(below, l.path) {
				hits = append(hits, k)
			}
		}
		start := strings.TrimSuffix(name, suffix)
		if start == name || !strings.HasSuffix(start, ".") {
			return
		}
		for _, k := range sites[start+"*"] {
			if k.covers(below, l.path) {
				hits = append(hits, k)
			}
		}
	}
	for at := 0; at < len(l.host); {
		name, below := l.host[at:], l.host[:at]
		first, rest, _ := strings.Cut(name, ".")
		add(name, below)
		if label := numbered(first); label != "" {
			add(label+"."+rest, below)
		}
		at += len(first) + 1
	}
	return hits
}

// covers reports whether an entry of the lists also names what lies below its host, and at this path.
func (k *known) covers(below, path string) bool {
	if k.path != "" {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/"), k.path)
		if !ok || rest != "" && rest[0] != '/' {
			return false
		}
	}
	return below == "" || below == "www." || below == "m." || k.class != search || searchLabels.MatchString(below) || searchHost.MatchString(k.host)
}

// Below a search engine's host its other services are found as well: maps, mail, disks. Only
// these names, and those of countries and languages, are its search.
var (
	searchLabels = regexp.MustCompile(`^(?:(?:www[0-9]*|m|mobile|wap|touch|amp|search|images?|img|videos?|news|web|safe|lite|html|start|encrypted|global|r|go|[a-z]{2}|[a-z]{2}-[a-z]{2})\.)*$`)
	searchHost   = regexp.MustCompile(`(?:^|\.)(?:[a-z0-9-]*search[a-z0-9-]*|suche|recherche|busca|buscador|ricerca|pesquisa)\.`)
)

// hostNumber is a number in a label of a host, or a short word behind a hyphen.
var hostNumber = regexp.MustCompile(`[0-9]+|-[a-z]{1,4}$`)

// numbered returns a label with "#" in the place of numbers, and nothing if it has none.
func numbered(label string) string {
	if !strings.ContainsAny(label, "0123456789-") || !hostNumber.MatchString(label) {
		return ""
	}
	return hostNumber.ReplaceAllStringFunc(label, func(s string) string {
		if s[0] == '-' {
			return "-#"
		}
		return "#"
	})
}

// isGoogle reports whether a host is Google's search, and not one of its many other services.
func isGoogle(host string) bool {
	site := registrable(host)
	if !strings.HasPrefix(site, "google.") {
		return false
	}
	switch strings.TrimSuffix(host, site) {
	case "", "www.", "www2.", "ipv6.", "m.", "images.", "news.", "maps.", "scholar.", "encrypted.", "cse.", "blogsearch.":
		return true
	}
	return false
}

// engineNames are the names of search engines in utm_source, networkNames those of social networks, in lower case.
var engineNames, networkNames = sync.OnceValue(func() map[string]bool { return namesOf(search) }),
	sync.OnceValue(func() map[string]bool { return namesOf(social) })

// namesOf lists the names and the hosts of a class: a source may be "duckduckgo" or "duckduckgo.com".
func namesOf(class refClass) map[string]bool {
	names := make(map[string]bool)
	for host, list := range knownSites() {
		for _, k := range list {
			if k.class == class && !k.strict && k.path == "" {
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
