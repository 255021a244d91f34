package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// environmentName is what a variable may be called.
var environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// readEnvFile reads a file of environment variables by the rules of systemd's
// EnvironmentFile=, so that the daemon under systemd and a command that is given the same
// file have the same configuration.
func readEnvFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	env, err := parseEnvFile(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return env, nil
}

// An envState is where in a file of variables a byte is.
type envState int

const (
	beforeName envState = iota
	inName
	beforeValue
	inValue
	valueEscape
	singleQuotes
	doubleQuotes
	doubleQuotesEscape
	inComment
	commentEscape
)

// envParser is systemd's parser of such files. Nothing is expanded: a $ is a $.
type envParser struct {
	env   map[string]string
	err   error
	line  int
	state envState
	name  []byte
	value []byte
	end   int // of value without the bare blanks at its end
}

func parseEnvFile(text string) (map[string]string, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not valid UTF-8")
	}
	p := &envParser{env: map[string]string{}, line: 1}
	for i := range len(text) {
		p.next(text[i])
		if text[i] == '\n' {
			p.line++
		}
	}
	switch p.state {
	case beforeValue, inValue, valueEscape, singleQuotes, doubleQuotes, doubleQuotesEscape:
		p.assign()
	case inName:
		p.fail()
	}
	return p.env, p.err
}

// next handles one byte.
func (p *envParser) next(c byte) {
	newline := c == '\n' || c == '\r'
	blank := newline || c == ' ' || c == '\t'
	switch p.state {
	case beforeName:
		switch {
		case c == '#' || c == ';':
			p.state = inComment
		case !blank:
			p.state, p.name = inName, []byte{c}
		}
	case inName:
		switch {
		case newline:
			p.fail()
			p.state = beforeName
		case c == '=':
			p.state, p.value, p.end = beforeValue, nil, 0
		default:
			p.name = append(p.name, c)
		}
	case beforeValue:
		switch {
		case newline:
			p.assign()
		case c == '\'':
			p.state = singleQuotes
		case c == '"':
			p.state = doubleQuotes
		case c == '\\':
			p.state = valueEscape
		case !blank:
			p.state = inValue
			p.add(c)
		}
	case inValue:
		switch {
		case newline:
			p.assign()
		case c == '\\':
			p.state, p.end = valueEscape, len(p.value)
		case blank:
			p.value = append(p.value, c) // dropped if nothing follows
		default:
			p.add(c)
		}
	case valueEscape:
		p.state = inValue
		if !newline { // a backslash at the end of a line joins it to the next
			p.add(c)
		}
	case singleQuotes:
		if c == '\'' {
			p.state = beforeValue
		} else {
			p.add(c)
		}
	case doubleQuotes:
		switch c {
		case '"':
			p.state = beforeValue
		case '\\':
			p.state = doubleQuotesEscape
		default:
			p.add(c)
		}
	case doubleQuotesEscape:
		p.state = doubleQuotes
		switch {
		case strings.IndexByte("\"\\`$", c) >= 0:
			p.add(c)
		case c != '\n':
			p.add('\\')
			p.add(c)
		}
	case inComment:
		switch {
		case c == '\\':
			p.state = commentEscape
		case newline:
			p.state = beforeName
		}
	case commentEscape:
		p.state = inComment
	}
}

// add appends a byte that counts, also where it is a blank.
func (p *envParser) add(c byte) {
	p.value = append(p.value, c)
	p.end = len(p.value)
}

// assign ends a line that sets a variable; of several the last counts.
func (p *envParser) assign() {
	p.state = beforeName
	name := strings.TrimRight(string(p.name), " \t")
	if !environmentName.MatchString(name) {
		p.fail()
		return
	}
	p.env[name] = string(p.value[:p.end])
}

// fail reports a line that systemd would ignore: a setting must not vanish silently.
func (p *envParser) fail() {
	if p.err == nil {
		p.err = fmt.Errorf("line %d: %q is not NAME=value", p.line, clipText(string(p.name)))
	}
}

// clipText shortens what an error repeats of a file: it may be a secret.
func clipText(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:20]) + "…"
	}
	return s
}

// processVariables are read by Go's own libraries from the environment of the process.
var processVariables = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// exportProcessVariables sets those that the file has and the environment does not, as
// systemd does for the daemon.
func exportProcessVariables(file map[string]string) {
	for _, name := range processVariables {
		if value, ok := file[name]; ok && os.Getenv(name) == "" {
			_ = os.Setenv(name, value) // the name is valid
		}
	}
}
