package main

import (
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// outputFormats are what --output takes; a command may know more than text and json.
func outputFormats(c *cobra.Command) []string {
	if more := c.Annotations["formats"]; more != "" {
		return strings.Split(more, ",")
	}
	return []string{"text", "json"}
}

// env looks a variable up as the program was given it.
func (p *program) env(name string) string {
	for _, kv := range slices.Backward(p.environ) {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// terminal returns the width of the terminal that stdout is; 0 where it is none.
func (p *program) terminal() int {
	f, ok := fileOf(p.stdout)
	if !ok || !isTerminal(f) {
		return 0
	}
	return terminalWidth(f)
}

// terminalWidth returns the number of columns of a terminal, 80 where it is not known.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// Colours of a terminal. They repeat what the words mean.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// paint colours text on a terminal, unless NO_COLOR is set.
func (p *program) paint(colour, text string) string {
	if p.terminal() == 0 || p.env("NO_COLOR") != "" || p.env("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// plain drops what could move the cursor: a Subject comes from a stranger.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// fill breaks text into lines of at most width runes, each after indent.
func fill(text, indent string, width int) string {
	var b strings.Builder
	line, words := utf8.RuneCountInString(indent), 0
	b.WriteString(indent)
	for word := range strings.FieldsSeq(plain(text)) {
		n := utf8.RuneCountInString(word)
		if words > 0 && line+1+n > width {
			b.WriteString("\n" + indent)
			line, words = utf8.RuneCountInString(indent), 0
		}
		if words > 0 {
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += n
		words++
	}
	return b.String() + "\n"
}
