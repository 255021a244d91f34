package mapping

import (
	"fmt"
	"strings"
)

// The limits that Marketo Measure sets.
const (
	maxChannels    = 40
	maxSubchannels = 200
)

// warn adds what is odd about the rules as a whole.
func (p *ruleParser) warn() {
	channels, paths := make(map[string]bool), make(map[string]bool)
	bare, divided := make(map[string]int), make(map[string]bool)
	for i := range p.rules.rows {
		x := &p.rules.rows[i]
		channel := strings.ToLower(x.channel)
		channels[channel] = true
		if len(channels) == maxChannels+1 {
			p.doubt(x.line, "Channel", x.channel, fmt.Sprintf("more than %d channels", maxChannels))
			channels[""] = true // reported once
		}
		if x.subchannel == "" {
			if bare[channel] == 0 {
				bare[channel] = x.line
			}
		} else {
			divided[channel] = true
			paths[channel+"."+strings.ToLower(x.subchannel)] = true
			if len(paths) == maxSubchannels+1 {
				p.doubt(x.line, "Sub Channel", x.subchannel, fmt.Sprintf("more than %d subchannels", maxSubchannels))
				paths[""] = true
			}
		}
		for j := range p.rules.rows[:i] {
			if above := &p.rules.rows[j]; above.covers(x) {
				p.doubt(x.line, "", "", fmt.Sprintf("never reached: the row of line %d fits whatever this one fits", above.line))
				break
			}
		}
	}
	for channel, line := range bare {
		if divided[channel] {
			p.doubt(line, "Channel", channel, "is listed with and without a subchannel")
		}
	}
}

// covers reports whether everything that fits the other row fits this one: sure if true, and
// not always noticed, since words and built-in logic may overlap.
func (x *row) covers(other *row) bool {
	for i := range x.cells {
		if x.cells[i] != nil && !x.cells[i].covers(other.cells[i], i) {
			return false
		}
	}
	return len(x.ruleColumns) > 0
}

func (c cell) covers(other cell, column int) bool {
	if other == nil {
		return false
	}
	for i := range other {
		covered := false
		for j := range c {
			covered = covered || c[j].covers(&other[i], column)
		}
		if !covered {
			return false
		}
	}
	return true
}

func (p *pattern) covers(other *pattern, column int) bool {
	switch p.kind {
	case anyPattern:
		// Built-in logic may fit without a referrer.
		return column != referringWebsite || other.kind != directPattern && other.kind != builtinPattern
	case sitePattern:
		return other.kind == sitePattern && within(other.text, p.text)
	case directPattern:
		return other.kind == directPattern
	case builtinPattern:
		return other.kind == builtinPattern && other.builtin == p.builtin
	}
	// Stars of the other text match only stars of this pattern.
	return other.kind == textPattern && glob(p.parts, other.text)
}
