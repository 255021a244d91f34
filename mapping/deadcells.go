package mapping

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"
)

var (
	quotes     = `"'“”„‟‘’‚‛«»‹›`
	utmPrefix  = regexp.MustCompile(`(?i)^\*?[?&]?utm_[a-z]+=`)
	separators = regexp.MustCompile(`\s*[,，；|]\s*|\s+(?:or|OR|oder|ou)\s+`)
	hostEnd    = regexp.MustCompile(`^[a-z0-9.-]*\.[a-z]{2,}$`)
	analytics  = map[string]string{"(direct)": "direct", "(none)": "direct", "(not set)": "", "(not provided)": "", "(organic)": "organic", "(referral)": "referral"}
)

// deadCell explains why an alternative of a cell fits nothing, or less than it seems, and what
// to write instead; empty if nothing is wrong with it.
func deadCell(column int, text string, p pattern) string {
	lower := strings.ToLower(text)
	bare := strings.Trim(lower, "*")
	isURL := column == landingPage || column == referringWebsite
	switch {
	case strings.ContainsRune(quotes, firstRune(text)) || strings.ContainsRune(quotes, lastRune(text)):
		return instead("quotation marks are compared as well", strings.Trim(text, quotes))
	case utmPrefix.MatchString(text) && !isURL:
		return instead("the column has the value alone", utmPrefix.ReplaceAllString(text, ""))
	case bare == lower && len(lower) > 2 && (lower[0] == '^' || lower[len(lower)-1] == '$'), strings.Contains(lower, ".*"):
		return instead("regular expressions are not supported, * stands for any text", plainPattern(text))
	case builtinName(bare) && p.kind != builtinPattern && column == referringWebsite:
		return instead("built-in logic needs its brackets", "["+strings.Trim(text, "[]* ")+"]")
	}
	if meant, ok := analytics[lower]; ok {
		switch {
		case column == referringWebsite && meant == "direct":
			return instead("this is a word of Google Analytics", "direct")
		case meant == "direct":
			return "fits no visit: this is a word of Google Analytics; leave the cell blank and write direct in Referring Website"
		case meant != "" && !isURL:
			return instead("this is a word of Google Analytics", meant)
		}
		return "fits no visit: this is a word of Google Analytics; delete it"
	}
	if column != 0 && column != landingPage && p.kind != builtinPattern {
		if list := separators.Split(text, -1); len(list) > 1 && !containsBlank(list) {
			return instead("alternatives are separated by semicolons", strings.Join(list, ";"))
		}
	}
	switch {
	case column == landingPage && p.kind == textPattern:
		return deadURL(text, p, "the whole URL of the page")
	case column == referringWebsite && p.kind == textPattern:
		return deadURL(text, p, "the whole referrer")
	case column == referringWebsite && p.kind == sitePattern:
		return deadSite(text, p)
	}
	return ""
}

// deadURL checks a pattern for whole URLs: they begin with a scheme, and a host is followed by a slash.
func deadURL(text string, p pattern, what string) string {
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	begins := first == ""
	for _, scheme := range []string{"https://", "http://", "android-app://", "ios-app://"} {
		begins = begins || strings.HasPrefix(scheme, first) || strings.HasPrefix(first, scheme)
	}
	host := strings.TrimPrefix(strings.Trim(strings.ToLower(text), "*"), ".")
	switch {
	case !begins && strings.HasPrefix(first, "/"):
		return instead("it is compared with "+what+", which begins with https://", "*"+strings.TrimSuffix(text, "*")+"*")
	case !begins:
		return instead("it is compared with "+what+", which begins with https://", "*"+strings.Trim(text, "*")+"*")
	case len(p.parts) == 1 && !strings.Contains(text, "://"):
		return instead("it is compared with "+what+", https:// and all", "*"+text+"*")
	case len(p.parts) > 1 && isHostEnd(last) && what == "the whole referrer" && strings.Count(text, "*") == 1 && !isSuffix(host):
		return instead("a referrer goes on behind its host; a domain without * includes all hosts below it", host)
	case len(p.parts) > 1 && isHostEnd(last) && what == "the whole referrer":
		return instead("a referrer goes on behind its host", text+"/*")
	}
	return ""
}

// isHostEnd reports whether a text ends in a public suffix, as a host does.
func isHostEnd(s string) bool {
	if !hostEnd.MatchString(s) {
		return false
	}
	suffix, icann := publicsuffix.PublicSuffix(strings.TrimPrefix(s, "."))
	return icann && suffix != ""
}

// isSuffix reports whether a host is nothing but a public suffix, such as co.uk.
func isSuffix(host string) bool {
	suffix, _ := publicsuffix.PublicSuffix(host)
	return suffix == host
}

// deadSite checks the name of a site.
func deadSite(text string, p pattern) string {
	if !isHost(p.text, true) {
		return fmt.Sprintf("fits no visit: %q is not a host name, such as partner.com, nor built-in logic in brackets", text)
	}
	if path := splitURL(strings.ToLower(text)).path; strings.Trim(path, "/") != "" && splitURL(text).host != "" {
		return fmt.Sprintf("fits every page of %s: a domain has no path; write *%s*", p.text, strings.TrimSuffix(text, "/"))
	}
	return ""
}

// instead returns the message for a cell that fits nothing.
func instead(why, cell string) string { return "fits no visit: " + why + "; write " + cell }

// plainPattern turns a simple regular expression into a pattern.
func plainPattern(s string) string {
	s = strings.NewReplacer(".*", "*", `\.`, ".", `\/`, "/").Replace(s)
	if rest, ok := strings.CutPrefix(s, "^"); ok {
		s = rest
	} else if !strings.HasPrefix(s, "*") {
		s = "*" + s
	}
	if rest, ok := strings.CutSuffix(s, "$"); ok {
		return rest
	}
	return strings.TrimSuffix(s, "*") + "*"
}

func builtinName(s string) bool {
	_, ok := builtinNames[strings.TrimSpace(strings.Trim(s, "[]"))]
	return ok && strings.Contains(strings.TrimSpace(s), " ")
}

func containsBlank(list []string) bool {
	for _, s := range list {
		if strings.TrimSpace(s) == "" {
			return true
		}
	}
	return false
}

func firstRune(s string) rune {
	for _, c := range s {
		return c
	}
	return -1
}

func lastRune(s string) (last rune) {
	last = -1
	for _, c := range s {
		last = c
	}
	return last
}
