package mapping

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxVisitorID is the length of the longest id that is believed, in bytes.
const maxVisitorID = 255

// nothing lists what scripts and forms write where there is no value, in lower case.
var nothing = map[string]bool{
	"undefined": true, "null": true, "none": true, "nil": true, "nan": true, "n/a": true, "not set": true, "(not set)": true,
	"(none)": true, "(null)": true, "[object object]": true, "false": true, "true": true,
}

// isNothing reports a value that stands for no id: strangers share it. One character repeated,
// such as zeros with or without hyphens, is one.
func isNothing(s string) bool {
	if nothing[strings.ToLower(strings.Trim(s, `"'`))] || isMacro(s) {
		return true
	}
	bare := strings.ReplaceAll(s, "-", "")
	first, size := utf8.DecodeRuneInString(bare)
	if bare == "" || strings.Trim(bare, string(first)) != "" {
		return bare == ""
	}
	return len(bare) > size || first == '0' || !unicode.IsLetter(first) && !unicode.IsDigit(first)
}

// VisitorID returns the canonical form of a BizibleId: trimmed and in lower case. It reports
// false for an implausible id: empty, longer than 255 bytes, not UTF-8, with control
// characters, a word for nothing such as undefined or (not set), a placeholder that nobody
// replaced, or one character repeated.
func VisitorID(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxVisitorID || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", false
	}
	if isNothing(s) {
		return "", false
	}
	s = strings.ToLower(s)
	// A few letters take more bytes in lower case.
	return s, len(s) <= maxVisitorID
}

// RestoreID returns the id of 18 characters that somebody wrote in lower or upper case alone:
// its last three characters say which letters are upper case. Any other text is returned as
// it is.
func RestoreID(id string) string {
	const code = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	if len(id) != 18 || id != strings.ToLower(id) && id != strings.ToUpper(id) {
		return id
	}
	out := []byte(strings.ToLower(id[:15]) + strings.ToUpper(id[15:]))
	for block := range 3 {
		upper := strings.IndexByte(code, out[15+block])
		for bit := range 5 {
			c := &out[5*block+bit]
			switch letter := 'a' <= *c && *c <= 'z'; {
			case upper < 0, upper>>bit&1 == 1 && !letter:
				return id
			case upper>>bit&1 == 1:
				*c -= 'a' - 'A'
			}
		}
	}
	return string(out)
}

// ID18 returns the 18-character form of a Salesforce record id: the 15-character form is
// case-sensitive, and three more characters encode which letters are upper case.
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
