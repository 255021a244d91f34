package collector

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one JSON text in one pass. It is stricter than encoding/json where that
// package stays silent: a key given twice, a lone surrogate and deep nesting are errors,
// and keys are compared exactly. Strings without escapes share the text's memory. The
// text must be valid UTF-8.
type scanner struct {
	s string
	i int
}

const (
	maxDepth = 32
	maxKeys  = 128 // of one object: bounds the search for duplicates
)

func (p *scanner) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

// next returns the next byte that is no blank, without taking it; 0 at the end.
func (p *scanner) next() byte {
	p.space()
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *scanner) unexpected() error {
	if p.i >= len(p.s) {
		return reject("", malformed, "not JSON: the text ends too early")
	}
	r, _ := utf8.DecodeRuneInString(p.s[p.i:])
	return reject("", malformed, fmt.Sprintf("not JSON: unexpected %q at byte %d", r, p.i+1))
}

func (p *scanner) take(c byte) error {
	if p.next() != c || p.i >= len(p.s) {
		return p.unexpected()
	}
	p.i++
	return nil
}

// end makes sure that nothing follows.
func (p *scanner) end() error {
	if p.space(); p.i < len(p.s) {
		return p.unexpected()
	}
	return nil
}

// object reads an object; field is called at each value and must take it.
func (p *scanner) object(depth int, field func(key string) error) error {
	if err := p.open('{', depth); err != nil {
		return err
	}
	if p.next() == '}' {
		p.i++
		return nil
	}
	var few [24]string // enough for every real record, without an allocation
	seen := few[:0]
	for {
		p.space()
		key, err := p.str()
		if err != nil {
			return err
		}
		for _, k := range seen {
			if k == key {
				return reject(clip(key), duplicateKey, "this key stands there twice")
			}
		}
		if len(seen) == maxKeys {
			return reject("", malformed, fmt.Sprintf("an object with more than %d keys", maxKeys))
		}
		seen = append(seen, key)
		if err := p.take(':'); err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
		switch p.next() {
		case ',':
			p.i++
		case '}':
			p.i++
			return nil
		default:
			return p.unexpected()
		}
	}
}

func (p *scanner) open(c byte, depth int) error {
	if depth > maxDepth {
		return reject("", malformed, fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
	return p.take(c)
}

// skip reads any value and forgets it.
func (p *scanner) skip(depth int) error {
	switch c := p.next(); {
	case c == '{':
		return p.object(depth+1, func(string) error { return p.skip(depth + 1) })
	case c == '[':
		return p.array(depth + 1)
	case c == '"':
		_, err := p.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := p.number()
		return err
	}
	for _, word := range []string{"null", "true", "false"} {
		if p.word(word) {
			return nil
		}
	}
	return p.unexpected()
}

func (p *scanner) array(depth int) error {
	if err := p.open('[', depth); err != nil {
		return err
	}
	if p.next() == ']' {
		p.i++
		return nil
	}
	for {
		if err := p.skip(depth); err != nil {
			return err
		}
		switch p.next() {
		case ',':
			p.i++
		case ']':
			p.i++
			return nil
		default:
			return p.unexpected()
		}
	}
}

func (p *scanner) word(w string) bool {
	p.space()
	if strings.HasPrefix(p.s[p.i:], w) {
		p.i += len(w)
		return true
	}
	return false
}

// number reads a number and returns it unchanged.
func (p *scanner) number() (string, error) {
	p.space()
	start := p.i
	digits := func() bool {
		from := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		return p.i > from
	}
	at := func(set string) bool {
		if p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0 {
			p.i++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		return "", p.unexpected()
	}
	if at(".") && !digits() {
		return "", p.unexpected()
	}
	if at("eE") {
		at("+-")
		if !digits() {
			return "", p.unexpected()
		}
	}
	return p.s[start:p.i], nil
}

// str reads a string.
func (p *scanner) str() (string, error) {
	if p.i >= len(p.s) || p.s[p.i] != '"' {
		return "", p.unexpected()
	}
	p.i++
	start := p.i
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return p.s[start : p.i-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.unexpected()
		}
		p.i++
	}
	return "", p.unexpected()
}

// escaped reads the rest of a string that began at start and has an escape at p.i.
func (p *scanner) escaped(start int) (string, error) {
	var b strings.Builder
	b.WriteString(p.s[start:p.i])
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			return b.String(), nil
		case c < ' ':
			return "", p.unexpected()
		case c != '\\':
			b.WriteByte(c)
			p.i++
			continue
		}
		p.i++
		if p.i >= len(p.s) {
			break
		}
		if p.s[p.i] == 'u' {
			r, err := p.unicode()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			continue
		}
		const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
		k := strings.IndexByte(from, p.s[p.i])
		if k < 0 {
			return "", p.unexpected()
		}
		b.WriteByte(to[k])
		p.i++
	}
	return "", p.unexpected()
}

// unicode reads uXXXX, or a pair of them that makes one character; p.i is at the u.
func (p *scanner) unicode() (rune, error) {
	r, err := p.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if strings.HasPrefix(p.s[p.i:], `\u`) {
		p.i++
		low, err := p.hex()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, reject("", invalidUTF8, fmt.Sprintf("half a surrogate pair before byte %d", p.i+1))
}

func (p *scanner) hex() (rune, error) {
	p.i++ // the u
	var r rune
	for range 4 {
		if p.i >= len(p.s) {
			return 0, p.unexpected()
		}
		switch c := p.s[p.i]; {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, p.unexpected()
		}
		p.i++
	}
	return r, nil
}
