package mapping

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Problem is something wrong, or odd, with a line of a file.
type Problem struct {
	Line    int    `json:"line"`
	Column  string `json:"column,omitempty"`
	Cell    string `json:"cell,omitempty"`
	Message string `json:"message"`
	Warning bool   `json:"warning,omitempty"`
}

func (p Problem) Error() string {
	text := fmt.Sprintf("line %d", p.Line)
	if p.Column != "" {
		text += ", " + p.Column
	}
	if p.Cell != "" {
		text += fmt.Sprintf(" %q", p.Cell)
	}
	return text + ": " + p.Message
}

// ParseRules reads channel rules as Marketo Measure exports them, whatever the delimiter that
// a spreadsheet saved them with. It returns every error and warning; the error joins the errors.
func ParseRules(data []byte) (*Rules, []Problem, error) {
	p := ruleParser{rules: &Rules{}}
	text := decodeText(data)
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = delimiter(text), -1, true
	for first := true; ; first = false {
		cells, err := r.Read()
		if err == io.EOF {
			if first {
				p.fail(1, "", "", "the file is empty; its first line must be "+header)
			}
			break
		}
		if err != nil {
			var broken *csv.ParseError
			if errors.As(err, &broken) {
				p.fail(broken.StartLine, "", "", broken.Err.Error())
			} else {
				p.fail(1, "", "", err.Error())
			}
			break
		}
		line, _ := r.FieldPos(0)
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if first {
			if !isHeader(cells) {
				p.fail(line, "", strings.Join(cells, ","), "not the header; the first line must be "+header)
				break
			}
			continue
		}
		p.row(line, cells)
	}
	p.warn()
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
	var errs []error
	for _, problem := range p.problems {
		if !problem.Warning {
			errs = append(errs, problem)
		}
	}
	if len(errs) > 0 {
		return nil, p.problems, errors.Join(errs...)
	}
	return p.rules, p.problems, nil
}

const header = "Channel,Sub Channel,Campaign,Medium,Source,Landing Page,Referring Website"

// isHeader ignores case, blanks and any eighth column.
func isHeader(cells []string) bool {
	plain := strings.NewReplacer(" ", "", "-", "", "_", "")
	want := strings.Split(header, ",")
	if len(cells) < len(want) {
		return false
	}
	for i, name := range want {
		if !strings.EqualFold(plain.Replace(visible(cells[i])), plain.Replace(name)) {
			return false
		}
	}
	return true
}

// delimiter returns the character that separates the names of the header.
func delimiter(text string) rune {
	line, _, _ := strings.Cut(text, "\n")
	best, count := ',', strings.Count(line, ",")
	for _, d := range ";\t" {
		if n := strings.Count(line, string(d)); n > count {
			best, count = d, n
		}
	}
	return best
}

// decodeText converts a file to UTF-8: spreadsheets save UTF-8 with or without a byte-order mark, UTF-16, or Latin-1.
func decodeText(data []byte) string {
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		data = rest
	}
	for mark, big := range map[string]bool{"\xff\xfe": false, "\xfe\xff": true} {
		if rest, ok := bytes.CutPrefix(data, []byte(mark)); ok {
			units := make([]uint16, len(rest)/2)
			for i := range units {
				low, high := rest[2*i], rest[2*i+1]
				if big {
					low, high = high, low
				}
				units[i] = uint16(high)<<8 | uint16(low)
			}
			return string(utf16.Decode(units))
		}
	}
	if utf8.Valid(data) {
		return string(data)
	}
	runes := make([]rune, len(data))
	for i, b := range data {
		runes[i] = rune(b)
	}
	return string(runes)
}

// ruleParser gathers rows and problems.
type ruleParser struct {
	rules    *Rules
	problems []Problem
}

func (p *ruleParser) fail(line int, column, cell, message string) {
	p.problems = append(p.problems, Problem{Line: line, Column: column, Cell: cell, Message: message})
}

func (p *ruleParser) doubt(line int, column, cell, message string) {
	p.problems = append(p.problems, Problem{Line: line, Column: column, Cell: cell, Message: message, Warning: true})
}

func (p *ruleParser) row(line int, cells []string) {
	for len(cells) < 2+len(columns) {
		cells = append(cells, "")
	}
	x := row{line: line, channel: p.name(line, "Channel", cells[0]), subchannel: p.name(line, "Sub Channel", cells[1])}
	var named, texts []string
	for i, column := range columns {
		text := cells[2+i]
		if x.cells[i] = p.cell(line, i, text); x.cells[i] != nil {
			named, texts = append(named, column), append(texts, text)
		}
	}
	x.ruleColumns, x.ruleCells = strings.Join(named, ", "), strings.Join(texts, ", ")
	switch {
	case x.channel == "" && x.subchannel == "" && len(named) == 0:
		p.fail(line, "", "", "the row is blank; delete it")
		return
	case len(named) == 0:
		p.fail(line, "", "", "the row has no condition, so every visit would fit it")
	case x.channel == "":
		p.fail(line, "Channel", "", "the channel has no name")
	}
	for i, name := range []string{x.channel, x.subchannel} {
		if strings.Contains(name, ".") {
			p.fail(line, []string{"Channel", "Sub Channel"}[i], name, `a name cannot contain ".", which joins channel and subchannel`)
		}
	}
	p.rules.rows = append(p.rules.rows, x)
}

// name reads the name of a channel or subchannel.
func (p *ruleParser) name(line int, column, text string) string {
	if hidden := invisibleIn(text); hidden != "" {
		p.doubtInvisible(line, column, text, hidden)
		text = strings.TrimSpace(visible(text))
	}
	return text
}

func (p *ruleParser) doubtInvisible(line int, column, text, hidden string) {
	p.doubt(line, column, text, "holds the invisible characters "+hidden+", which are ignored; type the cell anew")
}

// cell reads the alternatives of a cell; nil is no condition.
func (p *ruleParser) cell(line, column int, text string) cell {
	var c cell
	for alternative := range strings.SplitSeq(text, ";") {
		if hidden := invisibleIn(alternative); hidden != "" {
			p.doubtInvisible(line, columns[column], alternative, hidden)
			alternative = visible(alternative)
		}
		if alternative = strings.TrimSpace(alternative); alternative == "" {
			continue
		}
		pattern, complaint := parsePattern(column, alternative)
		if complaint != "" {
			p.fail(line, columns[column], alternative, complaint)
		}
		if dead := deadCell(column, alternative, pattern); complaint == "" && dead != "" {
			p.doubt(line, columns[column], alternative, dead)
		}
		c = append(c, pattern)
	}
	return c
}

// parsePattern parses one alternative. It returns a description of the problem, or nothing.
func parsePattern(column int, text string) (pattern, string) {
	lower := plainText(strings.ToLower(text))
	bracketed := strings.HasPrefix(lower, "[") && strings.HasSuffix(lower, "]")
	name := strings.TrimSpace(strings.Trim(lower, "[]"))
	logic, isBuiltin := builtinNames[name]
	wrong := pattern{kind: builtinPattern, text: lower, builtin: -1}
	switch {
	case lower == "any value" || strings.Trim(lower, "*") == "":
		return pattern{kind: anyPattern, text: "*"}, ""
	case bracketed && isBuiltin && column == referringWebsite:
		return pattern{kind: builtinPattern, text: lower, builtin: logic}, ""
	case bracketed && isBuiltin:
		return wrong, "built-in logic belongs in the column Referring Website"
	case bracketed && column == referringWebsite:
		return wrong, "unknown built-in logic; known are " + builtinList()
	case column != referringWebsite || strings.Contains(lower, "*"):
		p := pattern{kind: textPattern, text: lower, parts: strings.Split(lower, "*")}
		if column == landingPage || column == referringWebsite {
			p.plain = strings.Split(plainURL(lower), "*")
		}
		return p, ""
	case lower == "direct":
		return pattern{kind: directPattern, text: lower}, ""
	}
	host := hostOf(lower)
	if host == "" {
		host = asciiHost(strings.Trim(lower, "/"))
	}
	if host = strings.TrimPrefix(host, "www."); !strings.Contains(host, ".") {
		host += ".com"
	}
	return pattern{kind: sitePattern, text: host}, ""
}

func builtinList() string {
	var names []string
	for name := range builtinNames {
		names = append(names, "["+name+"]")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
