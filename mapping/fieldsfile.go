package mapping

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ParseFields reads a field map of the user. It has one line for a field, which adds to the
// built-in map or replaces its line:
//
//	# a comment
//	My_Keyword__c             = keyword               a value by its name
//	bizible2__Keyword_Text__c = -                     left out
//	Gclid__c                  = param.gclid           a parameter of the landing page
//	Call_Result__c            = {CallDisposition}     a Task field, type and all
//	Source_System__c          = "callpoint, {Type}"   text, with Task fields in it
//	Weight__c                 = 1.5                   a number, true or false
//	*                         = -                     nothing of the built-in map
//
// Every problem is in the error.
func ParseFields(data []byte) (*FieldMap, error) {
	m := &FieldMap{fields: slices.Clone(DefaultFields().fields)}
	var errs []error
	for _, p := range m.parse(data, true) {
		errs = append(errs, p)
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	return m, nil
}

var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// parse adds the lines of a file to the map.
func (m *FieldMap) parse(data []byte, own bool) []Problem {
	var problems []Problem
	lines := make(map[string]int) // of fields, in lower case
	number := 0
	for line := range strings.Lines(decodeText(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fail := func(message string) {
			problems = append(problems, Problem{Line: number, Cell: line, Message: message})
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		key := strings.ToLower(name)
		switch {
		case !ok:
			fail("not of the form Field__c = value")
			continue
		case name == "*" && value == "-":
			m.fields = slices.DeleteFunc(m.fields, func(f field) bool { return !f.own })
			continue
		case !fieldName.MatchString(name):
			fail("not the API name of a field")
			continue
		case lines[key] != 0:
			fail("the field is mapped on line " + strconv.Itoa(lines[key]) + " already")
			continue
		}
		lines[key] = number
		f := field{name: name, value: value, own: own, line: number}
		if value != "-" {
			if complaint := f.mean(value); complaint != "" {
				fail(complaint)
				continue
			}
		}
		m.set(f)
	}
	return problems
}

// set replaces the field of the same name, or appends it; "-" removes it.
func (m *FieldMap) set(f field) {
	i := slices.IndexFunc(m.fields, func(g field) bool { return strings.EqualFold(g.name, f.name) })
	switch {
	case f.value == "-" && i >= 0:
		m.fields = slices.Delete(m.fields, i, i+1)
	case f.value == "-":
	case i >= 0:
		m.fields[i] = f
	default:
		m.fields = append(m.fields, f)
	}
}

// mean parses a value of the file. It returns a description of the problem, or nothing.
func (f *field) mean(value string) string {
	if v, ok := values[strings.ToLower(value)]; ok {
		f.kind, f.read, f.task = v.kind, v.read, v.task
		return ""
	}
	if key, ok := strings.CutPrefix(value, "param."); ok && key != "" {
		f.kind, f.read = textValue, param(strings.ToLower(key)).read
		return ""
	}
	if m := fieldRef.FindStringSubmatch(value); m != nil && m[0] == value {
		f.kind, f.task = anyValue, m[1:2]
		f.read = func(r *record) any { return r.task(m[1]) }
		return ""
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		template := value[1 : len(value)-1]
		f.kind, f.task = textValue, fieldsIn(template)
		f.read = func(r *record) any {
			if r.call == nil {
				return fillIn(template, nil)
			}
			return fillIn(template, r.call.Fields)
		}
		return ""
	}
	if value == "true" || value == "false" {
		f.kind, f.read = boolValue, func(*record) any { return value == "true" }
		return ""
	}
	if n, ok := numberOf(value); ok {
		f.kind, f.read = numberValue, func(*record) any { return n }
		return ""
	}
	return "no such value: want the name of a value, param.NAME, {TaskField}, \"text\", a number, true, false or -; names are " + valueNames()
}

func valueNames() string {
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
