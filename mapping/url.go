package mapping

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// link is a URL split into its parts. Every text that a browser sends can be split.
type link struct {
	raw      string
	scheme   string // in lower case
	host     string // canonical: lower case, punycode, without user, port and final dot
	shown    string // the host as it was sent, in lower case
	port     string // with its colon
	path     string // with its percent signs
	query    string
	fragment string
}

// splitURL splits a URL. net/url refuses a stray percent sign or a space, which addresses from
// browsers and ad servers often contain.
func splitURL(raw string) link {
	l := link{raw: raw}
	rest := tidyURL(raw)
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
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		authority, l.port = authority[:colon], authority[colon:]
	}
	shown := strings.TrimSuffix(strings.ToLower(authority), ".")
	if strings.Contains(shown, "%") {
		shown = strings.ToLower(visible(unescape(shown)))
	}
	host := asciiHost(shown)
	if !isHost(host, l.scheme != "") {
		l.port, l.path = "", rest
		return l
	}
	l.host, l.shown, l.path = host, shown, path
	return l
}

// tidyURL removes what surrounds a URL by mistake, and characters that nobody can see.
func tidyURL(raw string) string {
	if isPrintable(raw) {
		return strings.TrimSpace(raw)
	}
	if strings.ContainsAny(raw, "\t\r\n") {
		raw = urlBreaks.Replace(raw)
	}
	return strings.TrimSpace(visible(raw))
}

// urlBreaks are characters that browsers remove from URLs.
var urlBreaks = strings.NewReplacer("\t", "", "\r", "", "\n", "")

// tidyReferrer returns a referrer without invisible characters, and nothing for one that names
// no site: "null", "about:blank" or what cannot be read.
func tidyReferrer(raw string) string {
	if raw == "" {
		return ""
	}
	if raw = tidyURL(raw); hostOf(raw) == "" {
		return ""
	}
	return raw
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
		not[c] = c <= ' ' || c == 0x7f || strings.IndexByte("\"%<>\\^{|}`[]", c) >= 0
	}
	return not
}()

// isHost reports whether a text can be a host: a name, an address, or an IPv6 address in
// brackets. A name without a dot, such as that of an intranet, needs a scheme before it.
func isHost(s string, hasScheme bool) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return ok && err == nil && ip.Is6()
	}
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for _, c := range []byte(s) {
		if c < 0x80 && notInHosts[c] || c == ':' {
			return false
		}
	}
	return hasScheme || s == "localhost" || strings.Contains(s, ".")
}

// hostProfile converts names as browsers do, but refuses fewer of them.
var hostProfile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// asciiHost returns a host in punycode; what cannot be converted stays as it is.
func asciiHost(host string) string {
	if isASCII(host) {
		return host
	}
	if ascii, err := hostProfile.ToASCII(host); err == nil {
		return ascii
	}
	return host
}

// unicodeHost returns a host, or a text with names in it, without punycode.
func unicodeHost(host string) string {
	if !strings.Contains(host, "xn--") {
		return host
	}
	if plain, err := idna.Punycode.ToUnicode(host); err == nil {
		return plain
	}
	return host
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// hostOf is the host of a URL, and empty where there is none.
func hostOf(raw string) string {
	if raw == "" {
		return ""
	}
	return splitURL(raw).host
}

// page is host and path alone, as the short fields of a touchpoint show it.
func (l link) page() string { return l.shown + l.port + l.path }

func withoutFragment(raw string) string {
	before, _, _ := strings.Cut(raw, "#")
	return before
}
