package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/when"
)

// Settings are the choices that a what-if tries. Empty ones stay as they are.
type Settings struct {
	Timeout    string `json:"timeout,omitempty"`
	Window     string `json:"window,omitempty"`
	WindowFrom string `json:"window_from,omitempty"` // last or start
	Channels   string `json:"channels,omitempty"`    // the text of a rules file
}

// WhatIf is the result of the same calls under other settings.
type WhatIf struct {
	MatchRate *float64               `json:"match_rate"`
	Reasons   map[mapping.Reason]int `json:"reasons"`
	Changed   []Change               `json:"changed"` // most calls first
}

// Change is how many calls would go from one answer to another.
type Change struct {
	From  Outcome `json:"from"`
	To    Outcome `json:"to"`
	Calls int     `json:"calls"`
}

// Outcome is a call's reason and the channel of its touchpoint.
type Outcome struct {
	Reason  mapping.Reason `json:"reason"`
	Channel string         `json:"channel"` // path; empty without a touchpoint
}

// Validate returns what is wrong with the settings.
func (w Settings) Validate() error {
	_, err := w.change()
	return err
}

// change returns the edit of the settings, or what is wrong with it.
func (w Settings) change() (func(*mapping.Settings), error) {
	var edits []func(*mapping.Settings)
	for _, d := range []struct {
		name, value string
		set         func(*mapping.Settings, time.Duration)
	}{
		{"timeout", w.Timeout, func(s *mapping.Settings, d time.Duration) { s.SessionTimeout = d }},
		{"window", w.Window, func(s *mapping.Settings, d time.Duration) { s.SessionWindow = d }},
	} {
		if d.value == "" {
			continue
		}
		span, err := when.Duration(d.value)
		if err != nil || span < time.Second {
			return nil, fmt.Errorf("%s=%s: not a duration of a second or more, such as 45m", d.name, d.value)
		}
		edits = append(edits, func(s *mapping.Settings) { d.set(s, span) })
	}
	switch w.WindowFrom {
	case "":
	case "last", "start":
		edits = append(edits, func(s *mapping.Settings) { s.WindowFromStart = w.WindowFrom == "start" })
	default:
		return nil, fmt.Errorf("window-from=%s: last or start", w.WindowFrom)
	}
	if w.Channels != "" {
		rules, _, err := mapping.ParseRules([]byte(w.Channels))
		if err != nil {
			return nil, fmt.Errorf("channels: %w", err)
		}
		edits = append(edits, func(s *mapping.Settings) { s.Rules = rules })
	}
	if len(edits) == 0 {
		return nil, errors.New("what-if: nothing to change is named: timeout, window, window-from or channels")
	}
	return func(s *mapping.Settings) {
		for _, edit := range edits {
			edit(s)
		}
	}, nil
}

// Try resolves the calls of [from, to) again, as they are and under other settings, so
// that what differs comes from the settings alone.
func Try(s *store.Store, e *engine.Engine, from, to time.Time, w Settings) (WhatIf, error) {
	edit, err := w.change()
	if err != nil {
		return WhatIf{}, &badRequest{err}
	}
	now, err := e.WhatIf(func(*mapping.Settings) {})
	if err != nil {
		return WhatIf{}, err
	}
	then, err := e.WhatIf(edit)
	if err != nil {
		return WhatIf{}, err
	}
	journeys := map[string]bool{}
	if err := s.EachCall(from, to, func(c store.Call, _ *store.Touchpoint) bool {
		journeys[store.JourneyKey(c.Visitor, c.TaskID)] = true
		return true
	}); err != nil {
		return WhatIf{}, err
	}
	type way struct{ from, to Outcome }
	ways := map[way]int{}
	all := newTally(from, to)
	for key := range journeys {
		j, err := s.Journey(key)
		if err != nil {
			return WhatIf{}, err
		}
		was, would := now(j), then(j)
		a, b := outcomes(was), outcomes(would)
		for i, c := range j.Calls {
			if c.At.Before(from) || !c.At.Before(to) {
				continue
			}
			c.Resolution = would.Calls[i]
			all.add(c, nil)
			if a[i] != b[i] {
				ways[way{a[i], b[i]}]++
			}
		}
	}
	r := all.report()
	result := WhatIf{MatchRate: r.MatchRate, Reasons: r.Reasons, Changed: []Change{}}
	for w, n := range ways {
		result.Changed = append(result.Changed, Change{w.from, w.to, n})
	}
	slices.SortFunc(result.Changed, func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.From.Reason, b.From.Reason), cmp.Compare(a.From.Channel, b.From.Channel),
			cmp.Compare(a.To.Reason, b.To.Reason), cmp.Compare(a.To.Channel, b.To.Channel))
	})
	return result, nil
}

// outcomes gives each call's outcome, in the order of the calls.
func outcomes(r mapping.Resolved) []Outcome {
	path := map[string]string{}
	for _, t := range r.Touchpoints {
		path[t.TaskID] = text(t.Values["bizible2__Marketing_Channel_Path__c"])
	}
	all := make([]Outcome, len(r.Calls))
	for i, c := range r.Calls {
		all[i] = Outcome{c.Reason, path[c.TaskID]}
		if c.Session != nil {
			all[i].Channel = c.Session.ChannelPath
		}
	}
	return all
}

// badRequest is an error of the one who asks.
type badRequest struct{ error }

func (b *badRequest) Unwrap() error { return b.error }
