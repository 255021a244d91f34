package orgsim

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind int

const (
	tokEnd    tokenKind = iota
	tokName             // word, or words joined by dots
	tokString           // text is the raw content between the quotes
	tokNumber           // number, date or datetime: whatever starts like a number
	tokSymbol           // ( ) , = != < <= > >=
)

type token struct {
	kind tokenKind
	text string
	pos  int // byte offset in the query
}

// A lexer cuts a query into tokens, one ahead.
type lexer struct {
	src string
	pos int
}

func isNameByte(c byte) bool {
	return c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (lx *lexer) next() (token, *Error) {
	for lx.pos < len(lx.src) && strings.IndexByte(" \t\r\n", lx.src[lx.pos]) >= 0 {
		lx.pos++
	}
	start := lx.pos
	if start == len(lx.src) {
		return token{kind: tokEnd, pos: start}, nil
	}
	switch c := lx.src[start]; {
	case c == '\'':
		return lx.quoted()
	case isDigit(c) || (c == '-' || c == '+') && start+1 < len(lx.src) && isDigit(lx.src[start+1]):
		return lx.number(), nil
	case isNameByte(c) && c != '.':
		for lx.pos < len(lx.src) && isNameByte(lx.src[lx.pos]) {
			lx.pos++
		}
		return token{tokName, lx.src[start:lx.pos], start}, nil
	}
	for _, sym := range []string{"!=", "<>", "<=", ">=", "(", ")", ",", "=", "<", ">", ":"} {
		if strings.HasPrefix(lx.src[start:], sym) {
			lx.pos += len(sym)
			return token{tokSymbol, sym, start}, nil
		}
	}
	_, size := utf8.DecodeRuneInString(lx.src[start:])
	bad := token{tokSymbol, lx.src[start : start+size], start}
	return bad, lx.unexpected(bad)
}

func (lx *lexer) quoted() (token, *Error) {
	start := lx.pos
	for i := start + 1; i < len(lx.src); i++ {
		switch lx.src[i] {
		case '\\':
			i++
		case '\'':
			lx.pos = i + 1
			return token{tokString, lx.src[start+1 : i], start}, nil
		}
	}
	return token{}, lx.failAt(start, "MALFORMED_QUERY", "unexpected token: "+lx.src[start:])
}

// number takes in dates and datetimes: 2026-11-23T17:00:00.000+01:00.
func (lx *lexer) number() token {
	start := lx.pos
	lx.pos++
	for lx.pos < len(lx.src) {
		c := lx.src[lx.pos]
		if !isNameByte(c) && c != '-' && c != '+' && c != ':' {
			break
		}
		lx.pos++
	}
	return token{tokNumber, lx.src[start:lx.pos], start}
}

func (lx *lexer) unexpected(t token) *Error {
	what := "'" + t.text + "'"
	if t.kind == tokEnd {
		what = "<EOF>"
	}
	return lx.failAt(t.pos, "MALFORMED_QUERY", "unexpected token: "+what)
}

// failAt builds the message that shows the place: a piece of the query, a caret
// under the place, row and column, then the reason.
func (lx *lexer) failAt(pos int, code, reason string) *Error {
	before := lx.src[:pos]
	row := strings.Count(before, "\n") + 1
	lineStart := strings.LastIndexByte(before, '\n') + 1
	line, _, _ := strings.Cut(lx.src[lineStart:], "\n")
	column := utf8.RuneCountInString(before[lineStart:])
	runes := []rune(line)
	from, to := max(0, column-40), min(len(runes), column+40)
	return refuse(400, code, fmt.Sprintf("\n%s\n%s^\nERROR at Row:%d:Column:%d\n%s",
		string(runes[from:to]), strings.Repeat(" ", column-from), row, column+1, reason))
}

// unquote resolves the escapes of a string literal. For LIKE, escaped wildcards
// stay escaped.
func (lx *lexer) unquote(t token, like bool) (string, *Error) {
	if !strings.Contains(t.text, `\`) {
		return t.text, nil
	}
	var b strings.Builder
	for i := 0; i < len(t.text); i++ {
		c := t.text[i]
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		i++
		switch c = t.text[i]; c {
		case 'n', 'N':
			b.WriteByte('\n')
		case 'r', 'R':
			b.WriteByte('\r')
		case 't', 'T':
			b.WriteByte('\t')
		case 'b', 'B':
			b.WriteByte('\b')
		case 'f', 'F':
			b.WriteByte('\f')
		case '\'', '"':
			b.WriteByte(c)
		case '\\':
			if like {
				b.WriteByte('\\')
			}
			b.WriteByte('\\')
		case '%', '_':
			if !like {
				return "", lx.badEscape(t, c)
			}
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			return "", lx.badEscape(t, c)
		}
	}
	return b.String(), nil
}

func (lx *lexer) badEscape(t token, c byte) *Error {
	return lx.failAt(t.pos, "MALFORMED_QUERY", fmt.Sprintf(`Invalid string literal '%s'. Illegal character sequence '\%c' in string literal.`, t.text, c))
}
