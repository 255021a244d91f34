package mapping

import (
	_ "embed"
	"strings"
	"sync"
)

// Rules are the channel rules, read top-down: the first row that fits wins.
type Rules struct{ rows []row }

// Channel is the result of the channel rules for a visit.
type Channel struct {
	Channel    string `json:"channel"`
	Subchannel string `json:"subchannel"`
	Path       string `json:"channel_path"`
	Rule       Rule   `json:"rule"`
}

//go:embed data/channels.csv
var channelsCSV []byte

// DefaultRules are the rules that hold without a file.
var DefaultRules = sync.OnceValue(func() *Rules {
	rules, _, err := ParseRules(channelsCSV)
	if err != nil {
		panic("mapping: built-in channel rules: " + err.Error())
	}
	return rules
})

// DefaultChannels is the file of the default rules, as a start for one's own.
func DefaultChannels() []byte { return []byte(string(channelsCSV)) }

// columns are the conditions of a row, by their place in it.
var columns = [...]string{"Campaign", "Medium", "Source", "Landing Page", "Referring Website"}

const (
	landingPage      = 3
	referringWebsite = 4
)

// row is one rule. All its cells must fit; a blank one has no pattern and always does.
type row struct {
	line        int
	channel     string
	subchannel  string
	cells       [len(columns)]cell
	ruleColumns string // what Rule reports: the columns with a condition, and their cells
	ruleCells   string
}

// cell is a condition: one of its alternatives must fit.
type cell []pattern

type patternKind int

const (
	textPattern   patternKind = iota // x, x*, *x, *x*
	anyPattern                       // *, Any Value
	sitePattern                      // a domain, and all below it
	directPattern                    // no referrer
	builtinPattern
)

// pattern is one alternative of a cell.
type pattern struct {
	kind    patternKind
	text    string   // in lower case, with its stars
	parts   []string // text between its stars
	plain   []string // of a URL, the parts as people write them
	builtin builtin
}

// ruleInput holds the values that rules compare. A call without a session has a campaign alone.
type ruleInput struct {
	values  [len(columns)]string // in lower case
	plain   [len(columns)]string // of the URLs, as people write them
	landing *landingSource       // nil for a call without a session
}

func (o *landingSource) ruleInput() ruleInput {
	h := ruleInput{landing: o}
	h.values = [...]string{plainText(strings.ToLower(o.params.get("utm_campaign"))), o.medium, o.source, strings.ToLower(o.page.raw), ""}
	if o.class != noReferrer {
		h.values[referringWebsite] = strings.ToLower(o.referrer.raw)
	}
	for _, column := range []int{landingPage, referringWebsite} {
		h.plain[column] = plainURL(h.values[column])
	}
	return h
}

// classify returns the channel of the first row that fits, or Other if none does.
func (r *Rules) classify(h ruleInput) Channel {
	for i := range r.rows {
		if x := &r.rows[i]; x.matches(&h) {
			path := x.channel
			if x.subchannel != "" {
				path += "." + x.subchannel
			}
			return Channel{x.channel, x.subchannel, path, Rule{x.line, x.ruleColumns, x.ruleCells}}
		}
	}
	return Channel{Channel: "Other", Path: "Other"}
}

func (x *row) matches(h *ruleInput) bool {
	for column, c := range x.cells {
		if c != nil && !c.matches(h, column) {
			return false
		}
	}
	return true
}

func (c cell) matches(h *ruleInput, column int) bool {
	for i := range c {
		if c[i].matches(h, column) {
			return true
		}
	}
	return false
}

func (p *pattern) matches(h *ruleInput, column int) bool {
	value := h.values[column]
	switch p.kind {
	case anyPattern:
		return value != ""
	case sitePattern:
		return value != "" && within(h.landing.referrer.host, p.text)
	case directPattern:
		return h.landing != nil && value == ""
	case builtinPattern:
		return h.landing != nil && h.landing.builtins[p.builtin]
	}
	return value != "" && (glob(p.parts, value) || p.plain != nil && glob(p.plain, h.plain[column]))
}

// glob matches a text with the parts of a pattern between its stars. Each inner part is taken
// where it first occurs, which leaves the most for the parts after it.
func glob(parts []string, s string) bool {
	if len(parts) == 1 {
		return s == parts[0]
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
	return true
}
