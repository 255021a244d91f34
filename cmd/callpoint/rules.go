package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"callpoint/mapping"
)

// rules are the choices that mapping follows, and a fingerprint of all that they
// depend on: a change of it maps every stored call again.
type rules struct {
	settings    *mapping.Settings
	fingerprint string
	warnings    []mapping.Problem // of the channel rules
}

// taskPrefix in CALLPOINT_REASON_FIELD marks a field of Task.
const taskPrefix = "task."

// taskReason is the Task's field that takes a call's reason; empty where none does.
func (c *Config) taskReason() string {
	if len(c.Reason) > len(taskPrefix) && strings.EqualFold(c.Reason[:len(taskPrefix)], taskPrefix) {
		return c.Reason[len(taskPrefix):]
	}
	return ""
}

// rules reads the files of channel rules and fields anew. Every problem comes at once.
func (c *Config) rules() (rules, error) {
	s := mapping.Default()
	s.SessionTimeout, s.SessionWindow, s.WindowFromStart = c.SessionTimeout, c.SessionWindow, c.SessionWindowFrom == "start"
	s.ClockSkew, s.UnmatchedHold, s.ChannelCarryover = c.ClockSkew, c.UnmatchedHold, c.ChannelCarryover
	s.OwnDomains, s.IgnoredReferrers = c.OwnDomains, c.IgnoredReferrers
	s.WriteBeforeCollection = c.BeforeCollection == "write"
	s.RetractDelete, s.Journey = c.Retract == "delete", c.Touchpoints == "journey"
	s.CallCampaign = c.CallCampaign
	if c.BizibleIDField != "" {
		s.BizibleIDField = c.BizibleIDField
	}
	if len(c.CallTime) > 0 {
		s.CallTime = c.CallTime
	}
	channels, fields := mapping.DefaultChannels(), mapping.DefaultFieldsFile()
	r := rules{settings: s}
	var problems []error
	var err error
	if c.Channels != "" {
		if channels, err = os.ReadFile(c.Channels); err == nil {
			s.Rules, r.warnings, err = mapping.ParseRules(channels)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("CALLPOINT_CHANNELS=%s: %w", c.Channels, err))
		}
	}
	own := []byte(nil)
	if c.Fields != "" {
		own, err = os.ReadFile(c.Fields)
		if err != nil {
			problems = append(problems, fmt.Errorf("CALLPOINT_FIELDS=%s: %w", c.Fields, err))
		}
	}
	if task := c.taskReason(); task != "" {
		if problem := c.reasonProblem(task, s.TaskFields(), c.TaskFilter); problem != "" {
			problems = append(problems, fmt.Errorf("CALLPOINT_REASON_FIELD=%s: %s", c.Reason, problem))
		}
	} else if c.Reason != "" {
		mapped := mapping.DefaultFields().Names()
		if f, err := mapping.ParseFields(own); len(own) > 0 && err == nil {
			mapped = f.Names()
		}
		if problem := c.reasonProblem(c.Reason, append(mapped, c.ExternalIDField), ""); problem != "" {
			problems = append(problems, fmt.Errorf("CALLPOINT_REASON_FIELD=%s: %s", c.Reason, problem))
			return r, errors.Join(problems...)
		}
	}
	if c.Reason != "" && c.taskReason() == "" {
		own = fmt.Appendf(own, "\n%s = reason\n", c.Reason)
	}
	if len(own) > 0 {
		fields = own
		if s.Fields, err = mapping.ParseFields(own); err != nil {
			problems = append(problems, fmt.Errorf("CALLPOINT_FIELDS=%s, CALLPOINT_REASON_FIELD=%s: %w", c.Fields, c.Reason, err))
		}
	}
	if s.Fields != nil && slices.ContainsFunc(s.Fields.Names(), func(name string) bool { return strings.EqualFold(name, c.ExternalIDField) }) {
		problems = append(problems, fmt.Errorf("CALLPOINT_FIELDS=%s: %s is the key of callpoint's records and cannot be mapped: two calls would share one record; take it out of the map", c.Fields, c.ExternalIDField))
	}
	r.fingerprint = c.fingerprint(channels, fields)
	return r, errors.Join(problems...)
}

// reasonProblem returns why a field cannot take reasons: what it holds would be overwritten.
func (c *Config) reasonProblem(field string, read []string, filter string) string {
	const create = "; create a custom text field for the reason"
	switch {
	case !strings.HasSuffix(strings.ToLower(field), "__c"):
		return "a standard field, which others read, would be overwritten" + create
	case strings.HasPrefix(strings.ToLower(field), "bizible2__"):
		return "a field of the Marketo Measure package would be overwritten" + create
	case slices.ContainsFunc(read, func(name string) bool { return strings.EqualFold(name, field) }):
		return "callpoint uses this field for something else" + create
	case regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(field) + `\b`).MatchString(filter):
		return "CALLPOINT_TASK_FILTER reads this field" + create
	}
	return ""
}

func (c *Config) fingerprint(channels, fields []byte) string {
	b, _ := json.Marshal([]any{c.SessionTimeout, c.SessionWindow, c.SessionWindowFrom, c.ClockSkew, c.UnmatchedHold,
		c.ChannelCarryover, c.OwnDomains, c.IgnoredReferrers, c.BeforeCollection, c.Retract, c.Touchpoints, c.Persons,
		c.CallCampaign, channels, fields})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
