package collector

import (
	"net/netip"
	"regexp"
	"strings"
)

// personal reports whether a raw value holds an e-mail address or a phone number, or is an
// IP address, be it encoded once or twice more.
func personal(value string) bool {
	if value[0] == '+' { // a plus sign that somebody forgot to encode
		if intlPhone.MatchString(value) {
			return true
		}
	}
	for range 3 {
		decoded := unescape(strings.ReplaceAll(value, "+", " "))
		if hasEmail(decoded) || hasPhone(decoded) {
			return true
		}
		if isAddr(decoded) {
			return true
		}
		if decoded == value || !strings.Contains(decoded, "%") {
			return false
		}
		value = decoded
	}
	return false
}

// hasEmail finds x@y.zz.
func hasEmail(s string) bool {
	for from := 0; from < len(s); {
		i := strings.IndexByte(s[from:], '@')
		if i < 0 {
			return false
		}
		i += from
		from = i + 1
		if i == 0 || strings.IndexByte(" \t<>()[]{},;:\"'/?&=@", s[i-1]) >= 0 {
			continue
		}
		dot, letters := false, 0
		for _, c := range []byte(s[from:]) {
			switch {
			case c == '.':
				if dot && letters >= 2 {
					return true
				}
				dot, letters = true, 0
			case c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80:
				letters++
			case c == '-' || c >= '0' && c <= '9':
				letters = 0
			default:
				goto done
			}
		}
	done:
		if dot && letters >= 2 {
			return true
		}
	}
	return false
}

// Bare digits are no phone number here: campaign and ad ids look just like that. Numbers
// count when they are written as people write them.
var (
	intlPhone     = regexp.MustCompile(`(?:^|[^0-9A-Za-z])\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}(?:$|[^0-9])`)
	usPhone       = regexp.MustCompile(`(?:^|[^0-9A-Za-z.-])(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?:$|[^0-9A-Za-z-])`)
	nationalPhone = regexp.MustCompile(`^\(?0[0-9]{1,5}\)?(?:[ ()/.-]{1,2}[0-9]{2,8}){1,5}$`)
	telPhone      = regexp.MustCompile(`(?i)\btel:[ +(]*[0-9][0-9 ().-]{4,}`)
)

func hasPhone(s string) bool {
	digits, marks, plus := 0, false, false
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '+':
			plus = true
		case strings.IndexByte("-. (:/", c) >= 0:
			marks = true
		}
	}
	// Regular expressions are slow, and click ids come here with every page.
	switch {
	case digits < 7 || !marks && !plus:
		return false
	case plus && intlPhone.MatchString(s), has3and4(s) && usPhone.MatchString(s):
		return true
	case strings.ContainsRune(s, ':') && telPhone.MatchString(s):
		return true
	}
	s = strings.TrimSpace(s)
	return digits >= 9 && digits <= 13 && (s[0] == '0' || s[0] == '(') && nationalPhone.MatchString(s)
}

// has3and4 finds three digits, a separator and four digits.
func has3and4(s string) bool {
	for i := 3; i+4 < len(s); i++ {
		if c := s[i]; (c == '-' || c == '.' || c == ' ') && allDigits(s[i-3:i]) && allDigits(s[i+1:i+5]) {
			return true
		}
	}
	return false
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isAddr reports whether s is an IP address.
func isAddr(s string) bool {
	if len(s) > 64 || strings.IndexByte(s, ':') < 0 && strings.Count(s, ".") != 3 {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// unescape decodes what is validly percent-encoded and leaves the rest.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
