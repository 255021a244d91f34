package mapping

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// clean makes any text fit to be sent: valid UTF-8, without control and invisible characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsAny(s, "\t\n\r\u2028\u2029") {
		s = lineBreaks.Replace(s)
	}
	return strings.TrimSpace(visible(s))
}

var lineBreaks = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ", "\u2028", " ", "\u2029", " ")

// shownFormats are format characters that have a shape of their own.
const shownFormats = "\u0600\u0601\u0602\u0603\u0604\u0605\u06DD\u070F\u0890\u0891\u08E2\U000110BD\U000110CD"

// isInvisible reports whether a character takes no room on a page: control characters, the
// zero-width ones, byte-order marks, soft hyphens and marks of the direction of writing.
// Tabs and line breaks are no such characters.
func isInvisible(c rune) bool {
	if c < 0x80 {
		return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f
	}
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) && !strings.ContainsRune(shownFormats, c)
}

// isPrintable reports whether a text is nothing but printable ASCII, as most texts are.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// invisibleIn names the invisible characters of a text, each once, as "U+200B, U+FEFF".
func invisibleIn(s string) string {
	var names []string
	for _, c := range s {
		if name := fmt.Sprintf("%U", c); isInvisible(c) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// visible removes invisible characters. Bytes that are not UTF-8 stay.
func visible(s string) string {
	if isPrintable(s) {
		return s
	}
	for i, c := range s {
		if !isInvisible(c) {
			continue
		}
		var b strings.Builder
		b.WriteString(s[:i])
		for i < len(s) {
			c, size := utf8.DecodeRuneInString(s[i:])
			if !isInvisible(c) {
				b.WriteString(s[i : i+size])
			}
			i += size
		}
		return b.String()
	}
	return s
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
