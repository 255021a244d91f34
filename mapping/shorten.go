package mapping

import (
	"slices"
	"strings"
)

// Ranks of a URL's parts, in the order in which a short field keeps them. Scheme, host and path
// always come first.
const (
	rankRoute = iota // the route of a single-page app, in the fragment
	rankUTM
	rankClick // click ids and Marketo Measure's own parameters
	rankAd    // other parameters of ad systems, such as hsa_grp
	rankOther
)

// urlPart is a query parameter, a parameter of the fragment, or the fragment's route.
type urlPart struct {
	text     string
	rank     int
	fragment bool
}

// shortenURL shortens a URL to a number of UTF-16 units, and reports whether it had to. Campaign
// tags and click ids are kept before other parameters, in their order in the URL; a parameter
// is kept whole or not at all. A path that is too long by itself is cut.
func shortenURL(raw string, limit int) (string, bool) {
	if limit <= 0 || utf16Len(raw) <= limit {
		return raw, false
	}
	return shorten(raw, limit, utf16Len, func(s string) string { s, _ = cut(s, limit); return s }), true
}

// ShortenURL shortens a URL to a number of bytes. It keeps what the channel rules and the fields
// of a touchpoint need most: host and path, then campaign tags and click ids, then the rest.
func ShortenURL(raw string, limit int) string {
	if len(raw) <= limit {
		return raw
	}
	return shorten(raw, limit, func(s string) int { return len(s) }, func(s string) string { return fold(s, limit) })
}

func shorten(raw string, limit int, size func(string) int, cut func(string) string) string {
	base, parts := urlParts(raw)
	room := limit - size(base)
	if room < 0 {
		return withoutHalfEscape(cut(base))
	}
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return parts[a].rank - parts[b].rank })
	dropped := make([]bool, len(parts))
	for _, i := range order {
		if n := 1 + size(parts[i].text); n <= room { // one more for the mark before it
			room -= n
		} else {
			dropped[i] = true
		}
	}
	kept := parts[:0]
	for i, p := range parts {
		if !dropped[i] {
			kept = append(kept, p)
		}
	}
	return joinURL(base, kept)
}

// joinURL puts a URL together again.
func joinURL(base string, parts []urlPart) string {
	var b strings.Builder
	b.WriteString(base)
	mark, inFragment := "?", false
	for _, p := range parts {
		if p.fragment && !inFragment {
			mark, inFragment = "#", true
		}
		b.WriteString(mark + p.text)
		mark = "&"
		if p.rank == rankRoute {
			mark = "?"
		}
	}
	return b.String()
}

// urlParts splits a URL into scheme, host and path, and the parts behind them.
func urlParts(raw string) (base string, parts []urlPart) {
	rest, fragment, _ := strings.Cut(raw, "#")
	base, query, _ := strings.Cut(rest, "?")
	parts = appendParams(parts, query, false)
	route, params, hasParams := strings.Cut(fragment, "?")
	switch {
	case route == "" && !hasParams:
	case hasParams || strings.HasPrefix(route, "/") || strings.HasPrefix(route, "!"):
		parts = append(parts, urlPart{route, rankRoute, true})
		parts = appendParams(parts, params, true)
	default:
		parts = appendParams(parts, route, true)
	}
	return base, parts
}

func appendParams(parts []urlPart, query string, fragment bool) []urlPart {
	for pair := range pairs(query) {
		key, _, _ := strings.Cut(pair, "=")
		key = paramKey(key)
		rank := rankOther
		switch {
		case strings.HasPrefix(key, "utm_"):
			rank = rankUTM
		case isTag(key):
			rank = rankClick
		case isTracking(key):
			rank = rankAd
		}
		parts = append(parts, urlPart{pair, rank, fragment})
	}
	return parts
}

// withoutHalfEscape drops a percent escape that was cut in two at the end.
func withoutHalfEscape(s string) string {
	if at := strings.LastIndexByte(s, '%'); at >= 0 && at >= len(s)-2 {
		return s[:at]
	}
	return s
}
