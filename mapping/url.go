package mapping

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// link is a URL taken apart. Nothing that a browser sends is refused.
type link struct {
	raw      string
	scheme   string // in lower case
	host     string // in lower case, without user, port and final dot
	port     string // with its colon
	path     string // as it stands, percent signs and all
	query    string
	fragment string
}

// splitURL takes a URL apart. net/url refuses a stray percent sign or a space, which
// addresses from browsers and ad servers are full of.
func splitURL(raw string) link {
	l := link{raw: raw}
	rest := strings.TrimSpace(raw)
	rest, l.fragment, _ = strings.Cut(rest, "#")
	rest, l.query, _ = strings.Cut(rest, "?")
	scheme, after, ok := strings.Cut(rest, ":")
	switch {
	case ok && isScheme(scheme) && strings.HasPrefix(after, "//"):
		l.scheme, rest = strings.ToLower(scheme), after[2:]
	case strings.HasPrefix(rest, "//"):
		rest = rest[2:]
	case ok && isScheme(scheme) && !strings.Contains(scheme, "."):
		l.scheme, l.path = strings.ToLower(scheme), after // about:blank, data:...
		return l
	}
	authority, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		authority, path = rest[:slash], rest[slash:]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	if colon := strings.LastIndexByte(authority, ':'); colon >= 0 && !strings.HasSuffix(authority, "]") {
		authority, l.port = authority[:colon], authority[colon:]
	}
	host := strings.TrimSuffix(strings.ToLower(authority), ".")
	if !isHost(host) {
		l.port, l.path = "", rest
		return l
	}
	l.host, l.path = host, path
	return l
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return s != ""
}

// notInHosts are the ASCII characters that no host contains.
var notInHosts = func() (not [0x80]bool) {
	for c := range byte(0x80) {
		not[c] = c <= ' ' || c == 0x7f || strings.IndexByte("\"%<>\\^{|}`", c) >= 0
	}
	return not
}()

// isHost reports whether a text can be a host: a name, an address, or one in brackets.
func isHost(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for _, c := range []byte(s) {
		if c < 0x80 && notInHosts[c] {
			return false
		}
	}
	return s == "localhost" || strings.ContainsAny(s, ".:")
}

// hostOf is the host of a URL, and empty where there is none.
func hostOf(raw string) string {
	if raw == "" {
		return ""
	}
	return splitURL(raw).host
}

// page is host and path alone, as the short fields of a touchpoint show it.
func (l link) page() string { return l.host + l.port + l.path }

func withoutFragment(raw string) string {
	before, _, _ := strings.Cut(raw, "#")
	return before
}

// params are query parameters in order, keys in lower case.
type params []struct{ key, value string }

// get gives the first value that is not empty.
func (p params) get(keys ...string) string {
	for _, key := range keys {
		for _, pair := range p {
			if pair.key == key && pair.value != "" {
				return pair.value
			}
		}
	}
	return ""
}

func (p params) has(keys ...string) bool { return p.get(keys...) != "" }

// parseParams reads a query. url.ParseQuery would drop a pair with ";" or a bad "%".
func parseParams(query string) params {
	var list params
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key = paramKey(key); key == "" {
			continue
		}
		if value = strings.TrimSpace(unescape(value)); isMacro(value) {
			value = ""
		}
		list = append(list, struct{ key, value string }{key, value})
	}
	return list
}

// paramKey returns the canonical form of a parameter's name.
func paramKey(key string) string {
	key = strings.ToLower(unescape(key))
	for strings.HasPrefix(key, "amp;") { // a link that was HTML-escaped, once or twice
		key = key[len("amp;"):]
	}
	return key
}

// unescape decodes a part of a query, and keeps it raw where it is not well formed.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return strings.ReplaceAll(s, "+", " ")
}

// isMacro reports whether an ad server or mail program left its placeholder as it was: {keyword}, {{lead.Id}}.
func isMacro(value string) bool {
	return len(value) > 1 && value[0] == '{' && value[len(value)-1] == '}'
}

// pageParams are the parameters of a landing page. Some sites put utm tags behind the "#";
// they count if the query has no tags.
func pageParams(l link) params {
	p := parseParams(l.query)
	if l.fragment == "" || slices.ContainsFunc(p, func(e struct{ key, value string }) bool { return isTag(e.key) && e.value != "" }) {
		return p
	}
	fragment := l.fragment
	if mark := strings.IndexByte(fragment, '?'); mark >= 0 {
		fragment = fragment[mark+1:]
	}
	for _, e := range parseParams(strings.TrimLeft(fragment, "!/")) {
		if strings.HasPrefix(e.key, "utm_") {
			p = append(p, e)
		}
	}
	return p
}

// clickIDs are the parameters by which ad platforms mark a click.
var clickIDs = []string{"gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "li_fat_id", "twclid", "ttclid", "rdt_cid"}

// isTag reports whether a parameter tells of a campaign: utm_*, a click id, or Marketo Measure's own.
func isTag(key string) bool {
	switch key {
	case "_bt", "_bf", "_bl":
		return true
	}
	return strings.HasPrefix(key, "utm_") || slices.Contains(clickIDs, key)
}

// campaignTags is a URL's campaign tags as one comparable text, empty where it has none.
func campaignTags(raw string) string {
	if !strings.ContainsAny(raw, "?#") {
		return ""
	}
	var tags []string
	for _, e := range pageParams(splitURL(raw)) {
		if e.value != "" && isTag(e.key) {
			tags = append(tags, e.key+"="+e.value)
		}
	}
	slices.Sort(tags)
	return strings.Join(slices.Compact(tags), "&")
}

// isTracking reports whether a parameter is there for statistics, and the page is the same without it.
func isTracking(key string) bool {
	switch key {
	case "_bk", "_bm", "_bn", "_bg", "gclsrc", "srsltid", "mc_cid", "mc_eid", "_ga", "_gl", "mkt_tok":
		return true
	}
	return isTag(key) || strings.HasPrefix(key, "hsa_") || strings.HasPrefix(key, "gad_")
}

// withoutTracking is a URL without the parameters that are there for statistics.
func withoutTracking(raw string) string {
	rest, fragment, _ := strings.Cut(raw, "#")
	page, query, _ := strings.Cut(rest, "?")
	keep := func(part string) string {
		var kept []string
		for pair := range strings.SplitSeq(part, "&") {
			key, _, _ := strings.Cut(pair, "=")
			if key = paramKey(key); key != "" && !isTracking(key) {
				kept = append(kept, pair)
			}
		}
		return strings.Join(kept, "&")
	}
	if query = keep(query); query != "" {
		page += "?" + query
	}
	if fragment = keep(fragment); fragment != "" {
		page += "#" + fragment
	}
	return page
}
