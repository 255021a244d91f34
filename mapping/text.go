package mapping

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// clean makes any text fit to be sent: valid UTF-8, without control characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsFunc(s, unicode.IsControl) {
		s = strings.Map(func(c rune) rune {
			switch {
			case c == '\t' || c == '\n' || c == '\r':
				return ' '
			case unicode.IsControl(c):
				return -1
			}
			return c
		}, s)
	}
	return strings.TrimSpace(s)
}

// cut shortens a text to a number of UTF-16 units, which is how Salesforce counts, and never
// splits a character. It reports whether it had to.
func cut(s string, limit int) (string, bool) {
	if limit <= 0 || len(s) <= limit {
		return s, false // no text has more UTF-16 units than bytes
	}
	units := 0
	for i, c := range s {
		units += max(1, utf16.RuneLen(c))
		if units > limit {
			return s[:i], true
		}
	}
	return s, false
}

func isDigit(c rune) bool { return unicode.Is(unicode.Nd, c) }

// isNumber reports whether a text is digits alone.
func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !isDigit(c) })
}

// fold shortens a text to a number of bytes at a rune boundary, before it is parsed.
func fold(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
