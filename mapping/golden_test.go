package mapping

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the results that the tests get into testdata")

// TestCases runs the stories of testdata: what was collected and what Salesforce holds, and the
// result that follows. A story may go on: later sections add to the earlier ones, and a Task of
// the same Id takes its place.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if title, ok := strings.CutPrefix(string(archive.Comment), "Case "); ok {
			name, _, _ = strings.Cut(title, ". ")
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := story{t: t, settings: Default(), journey: Journey{Visitor: "v1"}}
			results := 0
			for i := range archive.Files {
				f := &archive.Files[i]
				name, _, _ := strings.Cut(f.Name, " ")
				if name != "result" {
					s.read(name, string(f.Data))
					continue
				}
				results++
				got := s.resolve()
				if *update {
					f.Data = []byte(got)
				} else if got != string(f.Data) {
					t.Errorf("%s:\n%s", f.Name, lineDiff(string(f.Data), got))
				}
			}
			if results == 0 {
				t.Error("the story has no result")
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// story is a journey and the results of its steps so far.
type story struct {
	source   *Source // of the section rows
	t        *testing.T
	settings *Settings
	journey  Journey
}

func (s *story) read(section, data string) {
	s.t.Helper()
	switch section {
	case "channels":
		rules, _, err := ParseRules([]byte(data))
		if err != nil {
			s.t.Fatal(err)
		}
		s.settings.Rules = rules
		return
	case "fields":
		fields, err := ParseFields([]byte(data))
		if err != nil {
			s.t.Fatal(err)
		}
		s.settings.Fields = fields
		return
	case "sources":
		all, err := ParseSources([]byte(data))
		if err != nil {
			s.t.Fatal(err)
		}
		s.source = &all.Others[0]
		return
	}
	for line := range strings.Lines(data) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := splitWords(line)
		switch section {
		case "settings":
			s.set(words)
		case "events":
			s.journey.Events = append(s.journey.Events, s.event(words))
		case "visits":
			s.journey.Visits = append(s.journey.Visits, s.visit(words))
		case "calls":
			s.call(words)
		case "rows":
			s.row(words)
		default:
			s.t.Fatalf("unknown section %q", section)
		}
	}
}

// set reads a line such as: now 2026-11-23 14:00:00.
func (s *story) set(words []string) {
	s.t.Helper()
	on := words[len(words)-1] == "on"
	switch name := words[0]; name {
	case "now":
		s.journey.Now = s.time(words[1], words[2])
	case "earliest":
		s.journey.Earliest = s.time(words[1], words[2])
	case "pruned-before":
		before := s.time(words[1], words[2])
		s.settings.Prune(&s.journey, before)
	case "carryover":
		s.settings.ChannelCarryover = s.duration(words[1])
	case "session-window":
		s.settings.SessionWindow = s.duration(words[1])
	case "window-from-start":
		s.settings.WindowFromStart = on
	case "before-collection-write":
		s.settings.WriteBeforeCollection = on
	case "retract-delete":
		s.settings.RetractDelete = on
	case "journey":
		s.settings.Journey = on
	case "own-domains":
		s.settings.OwnDomains = words[1:]
	case "ignored-referrers":
		s.settings.IgnoredReferrers = words[1:]
	case "call-campaign":
		s.settings.CallCampaign = words[1]
	default:
		s.t.Fatalf("unknown setting %q", name)
	}
}

// event reads: 2026-11-23 12:17:00 view URL [from REFERRER] [agent="..."] [geo="City/Region/Country"].
func (s *story) event(words []string) Event {
	s.t.Helper()
	e := Event{Visitor: "v1", At: s.time(words[0], words[1]), Kind: EventKind(words[2]), URL: words[3]}
	for i := 4; i < len(words); i++ {
		key, value, _ := strings.Cut(words[i], "=")
		switch {
		case words[i] == "from":
			i++
			e.Referrer = words[i]
		case key == "agent":
			e.UserAgent = value
		case key == "geo":
			place := strings.Split(value, "/")
			e.Geo = Geo{place[0], place[1], place[2]}
		case key == "sequence":
			e.Sequence, _ = strconv.ParseInt(value, 10, 64)
		default:
			s.t.Fatalf("unknown word %q", words[i])
		}
	}
	return e
}

// visit reads: ID 2026-11-23 12:00:00 2026-11-23 12:10:00 VIEWS URL [from REFERRER] [form URL].
func (s *story) visit(words []string) Visit {
	s.t.Helper()
	views, err := strconv.Atoi(words[5])
	if err != nil {
		s.t.Fatal(err)
	}
	v := Visit{
		SessionID: words[0], Visitor: "v1", StartedAt: s.time(words[1], words[2]), EndedAt: s.time(words[3], words[4]),
		PageViews: views, LandingPage: words[6],
	}
	for i := 7; i+1 < len(words); i += 2 {
		switch words[i] {
		case "from":
			v.Referrer = words[i+1]
		case "form":
			v.FormURL = words[i+1]
		}
	}
	return v
}

// call reads a Task: 00T... 2026-11-23 13:05:00 Type="Call" Subject="..." [id=""].
func (s *story) call(words []string) {
	s.t.Helper()
	at := s.time(words[1], words[2]).Format("2006-01-02T15:04:05.000+0000")
	task := map[string]any{
		"Id": words[0], "CreatedDate": at, s.settings.BizibleIDField: "v1",
		"bizible2__Bizible_Touchpoint_Date__c": at,
	}
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "id":
			task[s.settings.BizibleIDField] = value
		case "deleted":
			task["IsDeleted"] = true
		default:
			task[key] = value
		}
	}
	call, err := s.settings.ReadCall(task)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(call)
}

// row reads a row of the story's source: a0X... Field=Value Field="Value" ... The org has the
// fields that the row has, and those that the source names.
func (s *story) row(words []string) {
	s.t.Helper()
	row := map[string]any{"Id": words[0]}
	var fields []FieldInfo
	add := func(name string) {
		typ := "string"
		if slices.Contains(s.source.CallTime, name) || strings.HasSuffix(name, "Date") {
			typ = "datetime"
		}
		fields = append(fields, FieldInfo{Name: name, Type: typ})
	}
	for _, name := range s.source.Fields() {
		add(name)
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		row[key] = value
		add(key)
	}
	if err := s.source.Fit(fields); err != nil {
		s.t.Fatal(err)
	}
	call, err := s.settings.ReadSourceCall(s.source, row)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(call)
}

// add puts a call into the journey, in the place of an earlier one with its id.
func (s *story) add(call Call) {
	for i := range s.journey.Calls {
		if old := &s.journey.Calls[i]; old.TaskID == call.TaskID {
			call.Written, call.Shows, call.Snapshot = old.Written, old.Shows, old.Snapshot
			*old = call
			return
		}
	}
	s.journey.Calls = append(s.journey.Calls, call)
}

func (s *story) time(day, clock string) time.Time {
	s.t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05", day+" "+clock)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

func (s *story) duration(text string) time.Duration {
	s.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// resolve resolves the journey so far and remembers which of its records are written.
func (s *story) resolve() string {
	s.t.Helper()
	j := s.journey
	if j.Earliest.IsZero() {
		for _, e := range j.Events {
			if j.Earliest.IsZero() || e.At.Before(j.Earliest) {
				j.Earliest = e.At
			}
		}
		for _, v := range j.Visits {
			if j.Earliest.IsZero() || v.StartedAt.Before(j.Earliest) {
				j.Earliest = v.StartedAt
			}
		}
	}
	if j.Now.IsZero() {
		for _, c := range j.Calls {
			if at := c.At.Add(time.Hour); at.After(j.Now) {
				j.Now = at
			}
		}
	}
	result := s.settings.Resolve(j)
	s.remember(result)
	return tell(result)
}

// remember does with a result what the daemon does.
func (s *story) remember(result Resolved) {
	written := make(map[string]bool)
	shows := make(map[string]time.Time)
	for _, tp := range result.Touchpoints {
		written[tp.TaskID], shows[tp.TaskID] = true, tp.Start
	}
	gone := make(map[string]bool)
	for _, key := range result.Retract {
		gone[key] = true
	}
	calls := slices.Clone(s.journey.Calls)
	for i := range calls {
		calls[i].Written = (calls[i].Written || written[calls[i].TaskID]) && !gone[callKey(calls[i].TaskID)]
		if written[calls[i].TaskID] {
			calls[i].Shows = shows[calls[i].TaskID]
		}
		calls[i].Snapshot = result.Calls[i].Snapshot
	}
	s.journey.Calls = calls
}

// tell formats a result.
func tell(result Resolved) string {
	var b bytes.Buffer
	for _, x := range result.Sessions {
		fmt.Fprintf(&b, "session %s to %s: %d views of %s", clock(x.StartedAt), clock(x.EndedAt), x.PageViews, x.LandingPage)
		if x.Referrer != "" {
			fmt.Fprintf(&b, " from %s", x.Referrer)
		}
		fmt.Fprintf(&b, "\n\t%s by row %d; %s, %s", x.ChannelPath, x.Rule.Row, x.Source, x.Medium)
		if x.FormURL != "" {
			fmt.Fprintf(&b, "; form %s at %s", x.FormURL, clock(x.FormAt))
		}
		if x.Position != "" {
			fmt.Fprintf(&b, "; %s", x.Position)
		}
		if x.TaskID != "" {
			fmt.Fprintf(&b, "; call %s", x.TaskID)
		}
		b.WriteByte('\n')
	}
	for _, c := range result.Calls {
		fmt.Fprintf(&b, "call %s: %s", c.TaskID, c.Reason)
		if c.Distance != 0 {
			fmt.Fprintf(&b, ", %d seconds", c.Distance)
		}
		fmt.Fprintf(&b, "\n\t%s\n", c.Detail)
		for _, x := range c.Candidates {
			fmt.Fprintf(&b, "\tsession of %s: %s\n", clock(x.StartedAt), x.Why)
		}
	}
	for _, tp := range result.Touchpoints {
		key := tp.Key
		if tp.TaskID == "" {
			key = "callpoint_s_... for the session of " + clock(tp.Session.StartedAt)
		}
		fmt.Fprintf(&b, "touchpoint %s\n", key)
		for _, name := range slices.Sorted(maps.Keys(tp.Values)) {
			if v := tp.Values[name]; v != nil && v != PersonRef("") {
				fmt.Fprintf(&b, "\t%-26s %v\n", strings.TrimSuffix(strings.TrimPrefix(name, "bizible2__"), "__c"), v)
			}
		}
	}
	for _, key := range result.Retract {
		if strings.HasPrefix(key, "callpoint_s_") {
			key = "callpoint_s_..."
		}
		fmt.Fprintf(&b, "retract %s\n", key)
	}
	if !result.Wake.IsZero() {
		fmt.Fprintf(&b, "look again at %s\n", clock(result.Wake))
	}
	return b.String()
}

// splitWords splits at blanks that are not within double quotes.
func splitWords(line string) []string {
	quoted := false
	words := strings.FieldsFunc(line, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return c == ' ' && !quoted
	})
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], `"`, "")
	}
	return words
}

// lineDiff shows the lines that only one of two texts has.
func lineDiff(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for len(w) > 0 && len(g) > 0 && w[0] == g[0] {
		w, g = w[1:], g[1:]
	}
	for len(w) > 0 && len(g) > 0 && w[len(w)-1] == g[len(g)-1] {
		w, g = w[:len(w)-1], g[:len(g)-1]
	}
	for _, line := range w {
		fmt.Fprintf(&b, "want %s\n", line)
	}
	for _, line := range g {
		fmt.Fprintf(&b, "got  %s\n", line)
	}
	return b.String()
}
