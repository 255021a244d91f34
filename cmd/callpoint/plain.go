package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"
)

// A plainWriter is what everything for people goes through: standard output and standard
// error. Words of Salesforce, of files and of visitors are among it, so characters that
// steer a terminal, or reorder what is read, are written as \u escapes, which JSON reads
// back as the same characters. The colours and the line erasure of callpoint itself pass.
type plainWriter struct {
	w io.Writer

	mu   sync.Mutex
	rest []byte // the beginning of a character whose end is yet to come; guarded by mu
}

// ownSequences are what callpoint writes to a terminal.
var ownSequences = []string{"\r\x1b[K", "\x1b[0m", "\x1b[" + red + "m", "\x1b[" + yellow + "m", "\x1b[" + green + "m", "\x1b[" + bold + "m", "\x1b[" + faint + "m"}

func (p *plainWriter) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := append(p.rest, b...)
	p.rest = nil
	var out strings.Builder
	for len(text) > 0 {
		if own := ownSequence(text); own > 0 {
			out.Write(text[:own])
			text = text[own:]
			continue
		}
		if !utf8.FullRune(text) {
			p.rest = append([]byte(nil), text...)
			break
		}
		r, n := utf8.DecodeRune(text)
		if steers(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r) // an invalid byte is U+FFFD
		}
		text = text[n:]
	}
	if _, err := io.WriteString(p.w, out.String()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ownSequence returns the length of a sequence of callpoint's own at the beginning of text.
func ownSequence(text []byte) int {
	if text[0] != '\r' && text[0] != '\x1b' {
		return 0
	}
	for _, s := range ownSequences {
		if strings.HasPrefix(string(text[:min(len(text), 8)]), s) {
			return len(s)
		}
	}
	return 0
}

// steers reports whether a terminal acts on a character, or shows what follows in another
// order: C0 without tab and line break, DEL, C1, and the bidirectional controls.
func steers(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < ' ', r >= 0x7f && r <= 0x9f:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c:
		return true
	}
	return false
}

// fileOf returns the file that a writer writes to.
func fileOf(w io.Writer) (*os.File, bool) {
	if p, ok := w.(*plainWriter); ok {
		w = p.w
	}
	f, ok := w.(*os.File)
	return f, ok
}
