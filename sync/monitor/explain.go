package monitor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// Explanation is a call's answer with its evidence, in plain words: what the command
// prints and the page shows.
type Explanation struct {
	Title    string
	Answer   string
	Cure     string
	Evidence []Section
}

// Section is one part of the evidence.
type Section struct {
	Title string
	Text  []string // sentences
	Rows  []Row
}

// Row is a name and its value.
type Row struct{ Name, Value string }

// Explain describes a call, with times in a zone.
func Explain(v CallView, zone *time.Location) Explanation {
	e := Explanation{
		Title:  fmt.Sprintf("Call %s: %s", v.TaskID, headline(v)),
		Answer: v.Detail,
		Cure:   v.Cure,
	}
	e.Evidence = []Section{taskSection(v), timeSection(v), sessionSection(v), channelSection(v), personSection(v), touchpointSection(v), salesforceSection(v)}
	local := func(text *string) { *text = localTimes(*text, zone) }
	local(&e.Answer)
	for i := range e.Evidence {
		section := &e.Evidence[i]
		local(&section.Title)
		for j := range section.Text {
			local(&section.Text[j])
		}
		for j := range section.Rows {
			local(&section.Rows[j].Name)
			local(&section.Rows[j].Value)
		}
	}
	return e
}

// momentText is a time as moment and the details of package mapping write it.
var momentText = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? UTC`)

// localTimes brings the times of a sentence into a zone. A resolution is stored with its
// sentence, in UTC.
func localTimes(text string, zone *time.Location) string {
	return momentText.ReplaceAllStringFunc(text, func(utc string) string {
		t, err := time.Parse("2006-01-02 15:04:05.999999999 UTC", utc)
		if err != nil {
			return utc
		}
		return t.In(zone).Format("2006-01-02 15:04:05.999 MST")
	})
}

func headline(v CallView) string {
	switch v.Reason {
	case "":
		return "read, not resolved yet"
	case mapping.Matched:
		return "matched to a web session"
	case mapping.MatchedClockSkew:
		return "matched to a web session that starts just after it"
	case mapping.Held:
		return "waiting for its session"
	}
	return "not matched to a web session (" + strings.ReplaceAll(string(v.Reason), "_", " ") + ")"
}

func taskSection(v CallView) Section {
	s := Section{Title: "The Task, as read at " + moment(v.ReadAt)}
	if v.Source != mapping.TaskSource {
		s.Title = "The row of the source " + v.Source + ", as read at " + moment(v.ReadAt)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Task)) {
		s.Rows = append(s.Rows, Row{name, valueOf(v.Task[name])})
	}
	id := "It has no BizibleId."
	if v.BizibleID != "" {
		id = "Its BizibleId is " + v.BizibleID + "."
	}
	s.Text = append(s.Text, id)
	return s
}

func timeSection(v CallView) Section {
	return Section{Title: "The call time", Text: []string{fmt.Sprintf("%s, from %s.", moment(v.CallTime), first(v.CallFrom, "an unknown source"))}}
}

func sessionSection(v CallView) Section {
	s := Section{Title: "The sessions around it"}
	if v.BizibleID == "" {
		s.Text = append(s.Text, "A call without a BizibleId has no sessions to compare.")
		return s
	}
	if len(v.Candidates) == 0 {
		s.Text = append(s.Text, "No sessions are known for this BizibleId.")
	}
	for _, c := range v.Candidates {
		s.Rows = append(s.Rows, Row{
			fmt.Sprintf("%s to %s, calls until %s", moment(c.StartedAt), moment(c.EndedAt), moment(c.WindowEnd)),
			fmt.Sprintf("%s: %s", c.LandingPage, c.Why),
		})
	}
	switch {
	case v.Session != nil:
		s.Text = append(s.Text, fmt.Sprintf("It is credited with the session that started at %s on %s.", moment(v.Session.StartedAt), v.Session.LandingPage))
	case v.Distance > 0:
		s.Text = append(s.Text, fmt.Sprintf("The call lies %s after the nearest window.", span(v.Distance)))
	case v.Distance < 0:
		s.Text = append(s.Text, fmt.Sprintf("The call lies %s before the nearest window.", span(-v.Distance)))
	}
	return s
}

func channelSection(v CallView) Section {
	s := Section{Title: "The channel"}
	switch {
	case v.Touchpoint == nil:
		s.Text = append(s.Text, "A call without a touchpoint has no channel.")
	case v.Rule.Row == 0:
		s.Text = append(s.Text, "No row of the channel rules fits.")
	default:
		s.Text = append(s.Text, fmt.Sprintf("Line %d of the channel rules decides, by %s %q.", v.Rule.Row, v.Rule.Column, v.Rule.Cell))
	}
	if x := v.Session; x != nil {
		for _, row := range []Row{{"Channel path", x.ChannelPath}, {"Source", x.Source}, {"Medium", x.Medium}, {"Campaign", x.Campaign}, {"Referrer", x.Referrer}} {
			if row.Value != "" {
				s.Rows = append(s.Rows, row)
			}
		}
	}
	return s
}

func touchpointSection(v CallView) Section {
	s := Section{Title: "The touchpoint"}
	if v.Touchpoint == nil {
		s.Text = append(s.Text, "No touchpoint is written for this call.")
		return s
	}
	empty := 0
	for _, name := range slices.Sorted(maps.Keys(v.Touchpoint)) {
		if v.Touchpoint[name] == nil || v.Touchpoint[name] == "" {
			empty++
			continue
		}
		s.Rows = append(s.Rows, Row{name, valueOf(v.Touchpoint[name])})
	}
	if empty > 0 {
		s.Text = append(s.Text, fmt.Sprintf("%d more fields are sent empty, so that a change clears what was there.", empty))
	}
	return s
}

func salesforceSection(v CallView) Section {
	s := Section{Title: "Salesforce"}
	switch v.State {
	case "":
		s.Text = append(s.Text, "Nothing was sent.")
	case store.Pending:
		s.Text = append(s.Text, "The touchpoint is waiting to be sent.")
	case store.Written:
		s.Text = append(s.Text, "The touchpoint in Salesforce is up to date.")
	case store.Unchanged:
		s.Text = append(s.Text, "The touchpoint in Salesforce is up to date; the last resolution changed nothing.")
	case store.Retrying:
		s.Text = append(s.Text, fmt.Sprintf("%d attempts failed; the next one is scheduled.", v.Attempts))
	case store.NoPerson:
		s.Text = append(s.Text, "Nothing was sent, because there is no person that the touchpoint could belong to.")
	case store.Parked:
		s.Text = append(s.Text, fmt.Sprintf("Salesforce refuses the touchpoint; %d attempts.", v.Attempts))
	}
	if v.Salesforce.Code != "" {
		s.Rows = append(s.Rows, Row{"Answer", v.Salesforce.Code + ": " + v.Salesforce.Message})
	}
	if v.Salesforce.ID != "" {
		s.Rows = append(s.Rows, Row{"Record", v.Salesforce.ID})
	}
	if v.WrittenAt != nil {
		s.Rows = append(s.Rows, Row{"Last written", moment(*v.WrittenAt)})
	}
	if v.NextAttempt != nil {
		s.Rows = append(s.Rows, Row{"Next attempt", moment(*v.NextAttempt)})
	}
	if v.OnTask != nil {
		s.Text = append(s.Text, onTask(v.OnTask))
	}
	return s
}

// onTask describes the reason field of the Task.
func onTask(o *OnTask) string {
	switch {
	case o.Want == o.Written:
		return fmt.Sprintf("The Task says %s in %s, written at %s.", o.Written, o.Field, moment(*o.WrittenAt))
	case o.Salesforce.Code != "":
		return fmt.Sprintf("The Task does not take %s in %s (%s: %s); next attempt at %s.", o.Want, o.Field,
			o.Salesforce.Code, o.Salesforce.Message, moment(*o.NextAttempt))
	}
	return fmt.Sprintf("%s waits to be written to the Task's %s.", o.Want, o.Field)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// span shows a distance to the second: 18 min, 1 h 2 min 5 s.
func span(seconds int64) string {
	var parts []string
	for _, u := range []struct {
		size int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}} {
		if n := seconds / u.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			seconds %= u.size
		}
	}
	return strings.Join(parts, " ")
}

func valueOf(v any) string {
	switch x := v.(type) {
	case nil:
		return "(empty)"
	case string:
		return strings.ToValidUTF8(x, "�")
	}
	return fmt.Sprint(v)
}
