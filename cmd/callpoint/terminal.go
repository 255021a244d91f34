package main

import (
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
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

// terminal is the width of the terminal that stdout is; 0 where it is none.
func (p *program) terminal() int {
	f, ok := p.stdout.(*os.File)
	if !ok || !isTerminal(f) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// Colours of a terminal. They say nothing that the words do not say.
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

// table lays out rows under a header. On a terminal the widest column is cut so that
// a row fits a line; elsewhere nothing is cut. Numeric columns are set right.
func (p *program) table(header []string, rows [][]string, numeric ...int) string {
	widths := make([]int, len(header))
	all := append([][]string{header}, rows...)
	for _, row := range all {
		for i := range row {
			row[i] = plain(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	if width := p.terminal(); width > 0 {
		shrink(widths, width)
	}
	var b strings.Builder
	for n, row := range all {
		var line strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if slices.Contains(numeric, i) {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = p.paint(bold, text)
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// narrowest is the width below which a column is not cut.
const narrowest = 8

// shrink takes from the widest columns until a row fits.
func shrink(widths []int, width int) {
	for {
		total, widest := 2*(len(widths)-1), 0
		for i, w := range widths {
			total += w
			if w > widths[widest] {
				widest = i
			}
		}
		if total <= width || widths[widest] <= narrowest {
			return
		}
		widths[widest]--
	}
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}
