package collector

import "strings"

// DefaultScrub names the URL parameters that carry who somebody is.
var DefaultScrub = []string{
	"*email", "emailaddress", "emailaddr", "mail", "*mailaddress", "mkt_tok",
	"*phone", "*phonenumber", "*phoneno", "tel", "telephone", "*mobile", "mobilenumber", "cell", "cellphone",
	"fax", "sms", "whatsapp", "callerid", "callernumber", "msisdn",
	"ip", "*ipaddress", "ipaddr", "clientip", "userip", "remoteaddr",
	"password", "passwd", "ssn",
}

// scrubbed replaces a value.
const scrubbed = "scrubbed"

// scrubber removes e-mail addresses, phone numbers and IP addresses from URLs. What it
// does not remove stays as it was, byte for byte: channel rules read the raw URL.
type scrubber struct {
	exact            map[string]bool
	prefixes, suffix []string
	parts            []string
}

func newScrubber(names []string) *scrubber {
	s := &scrubber{exact: map[string]bool{}}
	for _, name := range names {
		switch n, front, back := plainKey(name), strings.HasPrefix(name, "*"), strings.HasSuffix(name, "*"); {
		case n == "":
		case front && back:
			s.parts = append(s.parts, n)
		case front:
			s.suffix = append(s.suffix, n)
		case back:
			s.prefixes = append(s.prefixes, n)
		default:
			s.exact[n] = true
		}
	}
	return s
}

// plainKey brings user_email, contact[email] and userEmail to one form.
func plainKey(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r > 0x7f:
			return r
		}
		return -1
	}, key)
}

func (s *scrubber) named(key string) bool {
	key = unescape(key)
	for i := range len(key) {
		if c := key[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') { // most keys are plain already
			key = plainKey(key)
			break
		}
	}
	if key == "" {
		return false
	}
	if s.exact[key] {
		return true
	}
	for _, p := range s.suffix {
		if strings.HasSuffix(key, p) {
			return true
		}
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	for _, p := range s.parts {
		if strings.Contains(key, p) {
			return true
		}
	}
	return false
}

// url scrubs a URL: named parameters in query and fragment, values that look personal
// there, e-mail addresses and international numbers in the path, and any user:password.
func (s *scrubber) url(u string) string {
	head, tail := u, ""
	if i := strings.IndexAny(u, "?#"); i >= 0 {
		head, tail = u[:i], u[i:]
	}
	if strings.ContainsAny(head, "@%+") {
		head = scrubPath(head)
	}
	if tail == "" {
		return head
	}
	return head + s.params(tail)
}

func scrubPath(head string) string {
	scheme, rest, ok := strings.Cut(head, "://")
	if ok {
		authority, path, slash := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			authority = authority[i+1:]
		}
		if scheme += "://" + authority; !slash {
			return scheme
		}
		scheme, rest = scheme+"/", path
	} else {
		scheme, rest = "", head
	}
	segments := strings.Split(rest, "/")
	for i, seg := range segments {
		for range 3 {
			if hasEmail(seg) || intlPhone.MatchString(seg) {
				segments[i] = scrubbed
				break
			}
			if seg = unescape(seg); !strings.Contains(seg, "%") && !strings.Contains(seg, "@") && !strings.Contains(seg, "+") {
				break
			}
		}
	}
	return scheme + strings.Join(segments, "/")
}

// params scrubs everything from the first ? or # on. Fragments are read like queries:
// single-page apps put both parameters and whole routes there.
func (s *scrubber) params(tail string) string {
	var b strings.Builder
	kept := 0 // tail[:kept] is in b already
	for start := 0; start < len(tail); {
		end := start
		for end < len(tail) && !separates(tail[end]) {
			end++
		}
		if token := tail[start:end]; token != "" {
			key, value, found := strings.Cut(token, "=")
			if !found {
				key, value = "", token
			}
			if value != "" && (found && s.named(key) || personal(value)) {
				b.WriteString(tail[kept : end-len(value)])
				b.WriteString(scrubbed)
				kept = end
			}
		}
		start = end + 1
	}
	if kept == 0 {
		return tail
	}
	b.WriteString(tail[kept:])
	return b.String()
}

func separates(c byte) bool { return c == '&' || c == '?' || c == '#' || c == ';' }

// text scrubs a title: as a whole, for nothing depends on it.
func (s *scrubber) text(t string) string {
	if hasEmail(t) || hasPhone(t) {
		return scrubbed
	}
	return t
}
