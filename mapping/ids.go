package mapping

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxVisitorID is the length of the longest id that is believed, in bytes.
const maxVisitorID = 255

// VisitorID gives the canonical form of a BizibleId: trimmed and in lower case. It says
// false for what is no plausible id: empty, too long, not UTF-8, or with control characters.
func VisitorID(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxVisitorID || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", false
	}
	s = strings.ToLower(s)
	// A few letters take more bytes in lower case.
	return s, len(s) <= maxVisitorID
}

// ID18 gives the 18-character form of a Salesforce record id: the 15-character form is
// case-sensitive, and three more characters say which letters are upper case.
// What has not 15 characters comes back as it is.
func ID18(id string) string {
	if len(id) != 15 {
		return id
	}
	const code = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	long := []byte(id)
	for block := 0; block < 15; block += 5 {
		upper := 0
		for bit, c := range []byte(id[block : block+5]) {
			if 'A' <= c && c <= 'Z' {
				upper |= 1 << bit
			}
		}
		long = append(long, code[upper])
	}
	return string(long)
}
