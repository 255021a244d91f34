package mapping

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// escapes is a run of percent escapes; punycoded is a part of a host.
var (
	escapes   = regexp.MustCompile(`(?:%[0-9a-fA-F]{2})+`)
	punycoded = regexp.MustCompile(`xn--[a-z0-9-]+`)
)

// plainURL returns a URL, or a rule's pattern for URLs, as people write it: in lower case, with
// names in Unicode instead of punycode, and with characters instead of their percent escapes.
// Escapes of characters that have a meaning in a URL stay.
func plainURL(s string) string {
	s = strings.ToLower(s)
	if strings.Contains(s, "%") {
		s = strings.ToLower(escapes.ReplaceAllStringFunc(s, plainEscapes))
	}
	if strings.Contains(s, "xn--") {
		s = punycoded.ReplaceAllStringFunc(s, unicodeHost)
	}
	return plainText(s)
}

// plainText returns a text, in lower case, as it is compared: composed, without invisible characters.
func plainText(s string) string {
	if isASCII(s) {
		return visible(s)
	}
	return norm.NFC.String(visible(s))
}

func plainEscapes(run string) string {
	raw := unescape(run)
	var b strings.Builder
	for i := 0; i < len(raw); {
		c, size := utf8.DecodeRuneInString(raw[i:])
		switch {
		case c == utf8.RuneError && size == 1, c < 0x80 && !isUnreserved(byte(c)):
			fmt.Fprintf(&b, "%%%02x", raw[i])
		default:
			b.WriteString(raw[i : i+size])
		}
		i += size
	}
	return b.String()
}

// isUnreserved reports whether a character means the same in a URL with and without its escape.
// A blank is never without it, and control characters are removed.
func isUnreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~ ", c) >= 0 || c < ' ' || c == 0x7f
}
