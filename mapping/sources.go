package mapping

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Source is one object whose rows are calls. The Task is the first; a file of sources adds
// others. A row is brought into the form of a Task, so that every rule holds for it alike.
type Source struct {
	Name   string // task, event, invoca, or the user's own
	Object string
	Filter string // a SOQL condition; empty: every row

	BizibleID   SourceValue // a field, or a slot
	CallTime    []string    // entries A or A-B, best first
	Type        SourceValue
	Subject     SourceValue
	Duration    SourceValue // seconds
	Lead        SourceValue // the id of a Lead; a field that may hold a Contact too
	Contact     SourceValue
	Opportunity SourceValue // an Opportunity, Case or Account
	Outcome     SourceValue // how the call ended, as CallDisposition

	lines map[string]int // of the file, by key; 0 for a built-in value
	slots []slot         // of BizibleID, as the org has them; set by Fit
}

// A SourceValue is where a value comes from: a field, a constant, or a pair of slots of
// which one holds a name and the other its value. The zero value is none.
type SourceValue struct {
	Field    string
	Constant string
	// The value's slot with a * for its number, the name's slot, and the name.
	SlotValue, SlotName, SlotKey string
}

func (v SourceValue) isZero() bool { return v == SourceValue{} }

// A slot is one pair of fields.
type slot struct{ name, value string }

// TaskSource is the name of the source that reads Tasks.
const TaskSource = "task"

// builtinSources are the blocks that a file may start from by name.
var builtinSources = map[string]Source{
	TaskSource: {Name: TaskSource, Object: "Task"},
	"event": {
		Name: "event", Object: "Event", Filter: "bizible2__BizibleId__c != null",
		BizibleID: SourceValue{Field: "bizible2__BizibleId__c"},
		CallTime:  []string{"bizible2__Bizible_Touchpoint_Date__c", "StartDateTime"},
		Type:      SourceValue{Field: "Type"}, Subject: SourceValue{Field: "Subject"},
		Lead: SourceValue{Field: "WhoId"}, Contact: SourceValue{Field: "WhoId"}, Opportunity: SourceValue{Field: "WhatId"},
	},
	// The object and its slots are those of Invoca's package; which slot holds the cookie, and
	// under which name, is the customer's choice.
	"invoca": {
		Name: "invoca", Object: "INVOCA_FOR_SF__Invoca_Call_Log__c", Filter: "INVOCA_FOR_SF__transaction_id__c != null",
		BizibleID: SourceValue{SlotValue: "INVOCA_FOR_SF__Customer_String_Value_*__c", SlotName: "INVOCA_FOR_SF__Customer_String_Name_*__c", SlotKey: "bizible_id"},
		CallTime:  []string{"CreatedDate"},
		Type:      SourceValue{Constant: "Call"}, Subject: SourceValue{Field: "Name"},
		Lead: SourceValue{Field: "INVOCA_FOR_SF__Lead__c"}, Opportunity: SourceValue{Field: "INVOCA_FOR_SF__Opportunity__c"},
	},
}

// BuiltinSource returns the built-in block of a name.
func BuiltinSource(name string) (Source, bool) {
	s, ok := builtinSources[name]
	s.CallTime = slices.Clone(s.CallTime)
	return s, ok
}

// Sources are the parsed file of sources.
type Sources struct {
	ReadTasks bool
	Task      Source   // what the block [task] changes; zero values leave the configuration as it is
	Others    []Source // in the order of the file
}

// sourceKeys are the keys of a block.
var sourceKeys = []string{"object", "filter", "bizible_id", "call_time", "type", "subject", "duration", "lead", "contact", "opportunity", "outcome", "read"}

var (
	sourceName  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	sourceField = regexp.MustCompile(`^[A-Za-z]\w*(?:\.[A-Za-z]\w*)*$`)
	slotField   = regexp.MustCompile(`^[A-Za-z]\w*\*\w*$`)
	slotPair    = regexp.MustCompile(`^(\S+)\s+where\s+(\S+)\s*=\s*"([^"]*)"$`)
)

// ParseSources reads a file of sources: blocks [name] with lines key = value, and comments
// that begin with #. It returns every problem, each with its line.
func ParseSources(text []byte) (Sources, error) {
	all := Sources{ReadTasks: true}
	p := sourceParser{all: &all, seen: map[string]int{}}
	for i, line := range strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n") {
		p.line = i + 1
		p.parse(strings.TrimSpace(strings.TrimSuffix(line, "\r")))
	}
	p.end()
	if len(p.problems) == 0 && !all.ReadTasks && len(all.Others) == 0 {
		p.problems = append(p.problems, errors.New("no source is left: [task] is not read, and there is no other block"))
	}
	return all, errors.Join(p.problems...)
}

type sourceParser struct {
	all      *Sources
	problems []error
	seen     map[string]int // the line of each block
	line     int
	current  *Source // nil before the first block and in one with a bad name
	begun    int     // line of the current block
}

func (p *sourceParser) bad(format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("line %d: "+format, append([]any{p.line}, args...)...))
}

func (p *sourceParser) parse(line string) {
	if line == "" || strings.HasPrefix(line, "#") {
		return
	}
	if strings.HasPrefix(line, "[") {
		p.end()
		p.begin(comment(line))
		return
	}
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), comment(strings.TrimSpace(value))
	switch {
	case !ok:
		p.bad("%q is neither a block such as [invoca] nor a line such as object = Event", line)
	case p.begun == 0:
		p.bad("%s comes before the first block; begin with a block such as [invoca]", key)
	case !slices.Contains(sourceKeys, key):
		p.bad("unknown key %q; the keys are %s", key, strings.Join(sourceKeys, ", "))
	case p.current != nil:
		p.set(key, value)
	}
}

// comment cuts off a comment behind a value, outside of quotes.
func comment(text string) string {
	quoted := false
	for i, r := range text {
		switch {
		case r == '"' || r == '\'':
			quoted = !quoted
		case r == '#' && !quoted && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t'):
			return strings.TrimSpace(text[:i])
		}
	}
	return text
}

func (p *sourceParser) begin(line string) {
	name := strings.TrimSuffix(strings.TrimPrefix(line, "["), "]")
	p.begun = p.line
	switch {
	case !strings.HasSuffix(line, "]") || !sourceName.MatchString(name):
		p.bad("%q is not a block; write a name of lower-case letters, digits, - and _ in brackets, as in [invoca]", line)
		return
	case p.seen[name] > 0:
		p.bad("the block [%s] is there twice; the first is in line %d", name, p.seen[name])
		return
	}
	p.seen[name] = p.line
	s, _ := BuiltinSource(name)
	s.Name, s.lines = name, map[string]int{}
	p.current = &s
}

// end checks the block that was read and keeps it.
func (p *sourceParser) end() {
	s := p.current
	p.current = nil
	if s == nil {
		return
	}
	if s.Name == TaskSource {
		p.all.Task = *s
		return
	}
	at := p.line
	p.line = p.begun
	switch {
	case s.Object == "":
		p.bad("[%s] needs an object, as in object = My_Call__c; task, event and invoca have one built in", s.Name)
	case strings.EqualFold(s.Object, "Task"):
		p.bad("[%s] reads Task, which the block [task] does; name another object", s.Name)
	case s.BizibleID.isZero():
		p.bad("[%s] needs bizible_id: the field that holds the value of the _biz_uid cookie", s.Name)
	case s.Lead.isZero() && s.Contact.isZero() && s.Opportunity.isZero():
		p.bad("[%s] needs lead, contact or opportunity: a touchpoint belongs to a person", s.Name)
	default:
		if len(s.CallTime) == 0 {
			s.CallTime = []string{"CreatedDate"}
		}
		for _, other := range p.all.Others {
			if strings.EqualFold(other.Object, s.Object) {
				p.bad("[%s] reads %s, which [%s] does already; join the two filters with OR", s.Name, s.Object, other.Name)
			}
		}
		p.all.Others = append(p.all.Others, *s)
	}
	p.line = at
}

func (p *sourceParser) set(key, value string) {
	s := p.current
	if s.lines[key] > 0 {
		p.bad("%s is set twice; the first is in line %d", key, s.lines[key])
		return
	}
	s.lines[key] = p.line
	if s.Name == TaskSource && !slices.Contains([]string{"read", "filter", "bizible_id", "call_time"}, key) {
		p.bad("[task] takes read, filter, bizible_id and call_time, not %s", key)
		return
	}
	switch key {
	case "read":
		switch {
		case s.Name != TaskSource:
			p.bad("read belongs to [task]; leave the block [%s] out instead", s.Name)
		case value == "yes" || value == "no":
			p.all.ReadTasks = value == "yes"
		default:
			p.bad("read = %s: want yes or no", value)
		}
	case "object":
		if s.Object = value; !sourceField.MatchString(value) || strings.Contains(value, ".") {
			p.bad("object = %s is not the API name of an object, as in My_Call__c", value)
		}
	case "filter":
		if s.Filter = value; value == "" {
			p.bad("filter is empty; leave the line out to read every row")
		}
	case "call_time":
		s.CallTime = nil
		for _, entry := range strings.Split(value, ",") {
			entry = strings.TrimSpace(entry)
			at, minus, found := strings.Cut(entry, "-")
			if !sourceField.MatchString(strings.TrimSpace(at)) || found && !sourceField.MatchString(strings.TrimSpace(minus)) {
				p.bad("call_time: %q is neither a field nor a pair such as CreatedDate-Duration__c", entry)
			}
			s.CallTime = append(s.CallTime, entry)
		}
	default:
		*s.value(key) = p.value(key, value)
	}
}

// value returns the part of a source that a key sets.
func (s *Source) value(key string) *SourceValue {
	return map[string]*SourceValue{"bizible_id": &s.BizibleID, "type": &s.Type, "subject": &s.Subject, "duration": &s.Duration,
		"lead": &s.Lead, "contact": &s.Contact, "opportunity": &s.Opportunity, "outcome": &s.Outcome}[key]
}

// value reads a field, a "constant" or a slot.
func (p *sourceParser) value(key, text string) SourceValue {
	if m := slotPair.FindStringSubmatch(text); m != nil {
		switch {
		case key != "bizible_id":
			p.bad("%s: a slot can hold bizible_id alone", key)
		case !slotField.MatchString(m[1]) || !slotField.MatchString(m[2]) || strings.TrimSpace(m[3]) == "":
			p.bad(`%s: write a slot as Value_*__c where Name_*__c = "name", with one * for its number`, key)
		}
		return SourceValue{SlotValue: m[1], SlotName: m[2], SlotKey: strings.TrimSpace(m[3])}
	}
	if constant, ok := strings.CutPrefix(text, `"`); ok {
		constant, closed := strings.CutSuffix(constant, `"`)
		switch {
		case !closed || strings.Contains(constant, `"`):
			p.bad("%s = %s: a constant is written in one pair of quotes", key, text)
		case key != "type" && key != "subject" && key != "outcome":
			p.bad("%s cannot be a constant: it differs from call to call; name a field", key)
		}
		return SourceValue{Constant: constant}
	}
	if !sourceField.MatchString(text) {
		p.bad(`%s = %s is not a field, a "constant" or a slot`, key, text)
	}
	return SourceValue{Field: text}
}

// where names a key with its line in the file.
func (s *Source) where(key string) string {
	if line := s.lines[key]; line > 0 {
		return fmt.Sprintf("line %d: [%s] %s", line, s.Name, key)
	}
	return fmt.Sprintf("[%s] %s (built in)", s.Name, key)
}

// sourceTypes are the types that a field of a key may have; a key that is left out takes any.
var sourceTypes = map[string][]string{
	"call_time": {"datetime"},
	"duration":  {"int", "double", "string", "currency", "percent"},
	"lead":      {"reference", "string", "id"}, "contact": {"reference", "string", "id"}, "opportunity": {"reference", "string", "id"},
	"bizible_id": {"string", "textarea", "picklist", "combobox", "url"},
}

// Fit checks a source against the fields of its object, as described, and finds its slots.
// Every problem names its line and the cure.
func (s *Source) Fit(fields []FieldInfo) error {
	byName := map[string]FieldInfo{}
	for _, f := range fields {
		byName[strings.ToLower(f.Name)] = f
	}
	var problems []error
	check := func(key, name string) {
		if strings.Contains(name, ".") {
			return // a parent's field: the query itself shows it
		}
		f, ok := byName[strings.ToLower(name)]
		switch types := sourceTypes[key]; {
		case !ok:
			problems = append(problems, fmt.Errorf("%s: %s has no field %s that this user may read; correct the name, or grant read access", s.where(key), s.Object, name))
		case types != nil && !slices.Contains(types, f.Type):
			problems = append(problems, fmt.Errorf("%s: %s.%s is of type %s; want %s", s.where(key), s.Object, f.Name, f.Type, strings.Join(types, ", ")))
		}
	}
	for _, key := range []string{"bizible_id", "type", "subject", "duration", "lead", "contact", "opportunity", "outcome"} {
		if v := s.value(key); v.Field != "" {
			check(key, v.Field)
		}
	}
	for _, entry := range s.CallTime {
		at, minus, found := strings.Cut(entry, "-")
		check("call_time", strings.TrimSpace(at))
		if found {
			if f, ok := byName[strings.ToLower(strings.TrimSpace(minus))]; !ok {
				problems = append(problems, fmt.Errorf("%s: %s has no field %s that this user may read; correct the name, or grant read access", s.where("call_time"), s.Object, strings.TrimSpace(minus)))
			} else if !slices.Contains(sourceTypes["duration"], f.Type) {
				problems = append(problems, fmt.Errorf("%s: %s.%s is of type %s; want a number of seconds", s.where("call_time"), s.Object, f.Name, f.Type))
			}
		}
	}
	if s.BizibleID.SlotValue != "" {
		if s.slots = s.BizibleID.findSlots(fields); len(s.slots) == 0 {
			problems = append(problems, fmt.Errorf("%s: %s has no pair of fields %s and %s that this user may read; correct the names, or grant read access", s.where("bizible_id"), s.Object, s.BizibleID.SlotValue, s.BizibleID.SlotName))
		}
	}
	return errors.Join(problems...)
}

// findSlots returns the pairs of fields that both exist, by their number.
func (v SourceValue) findSlots(fields []FieldInfo) []slot {
	number := func(pattern string) map[int]string {
		before, after, _ := strings.Cut(strings.ToLower(pattern), "*")
		found := map[int]string{}
		for _, f := range fields {
			rest, ok := strings.CutPrefix(strings.ToLower(f.Name), before)
			digits, ok2 := strings.CutSuffix(rest, after)
			if n, err := strconv.Atoi(digits); ok && ok2 && err == nil {
				found[n] = f.Name
			}
		}
		return found
	}
	names, values := number(v.SlotName), number(v.SlotValue)
	var all []slot
	for _, n := range slices.Sorted(maps.Keys(values)) {
		if names[n] != "" {
			all = append(all, slot{names[n], values[n]})
		}
	}
	return all
}

// Fields returns the fields to query, sorted, each once.
func (s *Source) Fields() []string {
	names := slices.Clone(alwaysRead)
	for _, key := range []string{"bizible_id", "type", "subject", "duration", "lead", "contact", "opportunity", "outcome"} {
		if v := s.value(key); v.Field != "" {
			names = append(names, v.Field)
		}
	}
	for _, entry := range s.CallTime {
		at, minus, found := strings.Cut(entry, "-")
		names = append(names, strings.TrimSpace(at))
		if found {
			names = append(names, strings.TrimSpace(minus))
		}
	}
	for _, slot := range s.slots {
		names = append(names, slot.name, slot.value)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(names, strings.EqualFold)
}

// ReadSourceCall reads a row of a source as a call. The row gets the fields of a Task beside
// its own, so that the field map and the rules find them.
func (s *Settings) ReadSourceCall(src *Source, row map[string]any) (Call, error) {
	fields := maps.Clone(row)
	set := func(name string, v SourceValue) {
		if value := v.read(src, row); value != nil {
			fields[name] = value
		}
	}
	set(s.BizibleIDField, src.BizibleID)
	set("Type", src.Type)
	set("Subject", src.Subject)
	set("CallDurationInSeconds", src.Duration)
	set("CallDisposition", src.Outcome)
	fields["WhoId"], fields["WhatId"] = nil, nil
	if what := textOf(src.Opportunity.read(src, row)); what != "" {
		fields["WhatId"] = what
	}
	for _, v := range []SourceValue{src.Lead, src.Contact} { // a Contact goes before a Lead
		if who := textOf(v.read(src, row)); who != "" {
			fields["WhoId"] = who
		}
	}
	id := textOf(lookup(row, "Id"))
	if id == "" {
		return Call{}, fmt.Errorf("%s without Id", src.Object)
	}
	call := Call{TaskID: ID18(id), Source: src.Name, Fields: fields}
	call.Visitor, _ = VisitorID(textOf(lookup(fields, s.BizibleIDField)))
	call.Deleted, _ = lookup(row, "IsDeleted").(bool)
	at := Settings{CallTime: src.CallTime}
	var ok bool
	if call.At, call.AtFrom, ok = at.callTime(row); !ok {
		return Call{}, fmt.Errorf("%s %s: no time in %s", src.Object, call.TaskID, strings.Join(src.CallTime, ", "))
	}
	return call, nil
}

// read returns the value in a row; nil for none.
func (v SourceValue) read(src *Source, row map[string]any) any {
	switch {
	case v.Field != "":
		return lookup(row, v.Field)
	case v.Constant != "":
		return v.Constant
	case v.SlotValue != "":
		for _, slot := range src.slots {
			if strings.EqualFold(textOf(lookup(row, slot.name)), v.SlotKey) {
				if value := textOf(lookup(row, slot.value)); value != "" {
					return value
				}
			}
		}
	}
	return nil
}

// customField is a custom field in a SOQL condition.
var customField = regexp.MustCompile(`\b[A-Za-z]\w*__c\b`)

// SecuredFields returns the custom fields that a permission set must grant, those of the
// filter included. Slots are left out: how many there are only the org shows.
func (s *Source) SecuredFields() (names []string) {
	for _, name := range append(s.Fields(), customField.FindAllString(s.Filter, -1)...) {
		if strings.HasSuffix(name, "__c") && !strings.Contains(name, ".") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
