package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/salesforce"
)

// schemaAge is how long a description of the org is believed: fields come and go rarely,
// and every describe costs an API call.
const schemaAge = 24 * time.Hour

const (
	personObject  = "bizible2__Bizible_Person__c"
	personKey     = "bizible2__UniqueId__c"
	personLead    = "bizible2__Lead__c"
	personContact = "bizible2__Contact__c"
)

// schema is the org's description, kept in the store over restarts.
type schema struct {
	At      time.Time                    `json:"at"`
	For     string                       `json:"for"` // object and key that it was asked for
	Objects map[string]salesforce.Object `json:"objects"`
	Dropped []string                     `json:"dropped"` // what the org lacks, as reported
}

// learn describes the org's objects, or remembers what they were within the last day,
// and fits the field map to them. While the org is away, what was known longer ago does.
func (e *Engine) learn(ctx context.Context) error {
	want := strings.ToLower(strings.Join(append([]string{e.cfg.TouchpointObject, e.cfg.ExternalID, e.cfg.Persons}, e.sourceObjects()...), " "))
	if e.schema != nil && e.cfg.Now().Sub(e.schema.At) < schemaAge {
		return nil
	}
	var kept schema
	ok, err := e.cfg.Store.State("schema", &kept)
	if err != nil {
		return err
	}
	known := ok && kept.For == want
	if known && e.schema == nil && e.cfg.Now().Sub(kept.At).Abs() < schemaAge {
		return e.fit(&kept)
	}
	fresh, err := e.describe(ctx, want)
	switch class := classOf(err); {
	case err == nil:
	case known && (class == salesforce.Retry || class == salesforce.StopCalls):
		e.cfg.Log.Debug("the org does not describe itself: its last description is believed", "err", err)
		kept.At = time.Time{}
		return e.fit(&kept)
	default:
		return err
	}
	if err := e.fit(fresh); err != nil {
		return err
	}
	if err := e.cfg.Store.SetState(ctx, "schema", fresh); err != nil {
		return err
	}
	if known && !reflect.DeepEqual(kept.Objects, fresh.Objects) {
		e.cfg.Log.Info("the org's objects or permissions changed: what was refused is tried again")
		_, err = e.retryAll(ctx)
	}
	return err
}

func (e *Engine) describe(ctx context.Context, want string) (*schema, error) {
	fresh := &schema{At: e.cfg.Now().UTC(), For: want, Objects: map[string]salesforce.Object{}}
	objects := []string{"Task", e.cfg.TouchpointObject, personObject}
	for _, name := range append(objects, e.sourceObjects()...) {
		o, err := e.cfg.Org.Describe(ctx, name)
		if classOf(err) == salesforce.StopClass && !slices.Contains(objects, name) {
			continue // fitSources decides what an absent object means
		}
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", name, err)
		}
		fresh.Objects[name] = o
		if strings.EqualFold(o.Name, name) {
			delete(fresh.Objects, name)
			fresh.Objects[o.Name] = o // as the org writes it
		}
	}
	return fresh, nil
}

// fit checks what callpoint cannot do without, and leaves out what it can.
func (e *Engine) fit(s *schema) error {
	task, tp := s.object(taskObject), s.object(e.cfg.TouchpointObject)
	if _, ok := task.Field(e.cfg.Settings.BizibleIDField); !ok {
		return fmt.Errorf("the Task object has no field %s that this user may read: install the Marketo Measure package 6.7 or later, grant read access to the field, or set CALLPOINT_BIZIBLE_ID_FIELD", e.cfg.Settings.BizibleIDField)
	}
	key, ok := tp.Field(e.cfg.ExternalID)
	switch {
	case !ok:
		return fmt.Errorf("%s has no field %s that this user may read: grant access to it, or create a text field (255) marked External ID and Unique and name it in CALLPOINT_EXTERNAL_ID_FIELD", e.cfg.TouchpointObject, e.cfg.ExternalID)
	case !key.ExternalID && !key.IDLookup:
		return configError("%s.%s is no External ID: create a text field (255) marked External ID and Unique and name it in CALLPOINT_EXTERNAL_ID_FIELD", e.cfg.TouchpointObject, e.cfg.ExternalID)
	}
	if err := e.checkNames(task, key); err != nil {
		return err
	}
	if err := e.fitSources(s); err != nil {
		return err
	}
	e.mu.Lock() // Look reads the settings from other goroutines
	defer e.mu.Unlock()
	// Answers carry the names as the org writes them, in whatever case they are configured.
	if tp.Name != "" {
		e.cfg.TouchpointObject = tp.Name
	}
	e.cfg.ExternalID = key.Name
	if f, ok := task.Field(e.cfg.Settings.BizibleIDField); ok {
		e.cfg.Settings.BizibleIDField = f.Name
	}
	s.Dropped = e.cfg.Settings.DropTaskFields(func(field string) bool {
		if strings.Contains(field, ".") {
			return false // a parent's field: the query itself tells
		}
		_, ok := task.Field(field)
		return !ok
	})
	for _, name := range e.fields.TaskFields() {
		if slices.ContainsFunc(s.Dropped, func(gone string) bool { return strings.EqualFold(gone, name) }) {
			return configError("the field map uses {%s}, which Task has not, or hides from this user: grant read access, or take it out of CALLPOINT_FIELDS", name)
		}
	}
	fitted, dropped, err := e.fields.Fit(fieldInfo(tp))
	if err != nil {
		return &ConfigError{fmt.Errorf("CALLPOINT_FIELDS: %w", err)}
	}
	for _, f := range tp.Fields {
		if f.Required() && slices.Contains(f.ReferenceTo, personObject) && !strings.EqualFold(fitted.PersonField(), f.Name) {
			return configError("CALLPOINT_FIELDS has no usable line for %s, and Salesforce creates no %s without it: add the line %s = person", f.Name, tp.Name, f.Name)
		}
	}
	e.cfg.Settings.Fields = fitted
	s.Dropped = append(s.Dropped, dropped...)
	e.reasonField = e.cfg.ReasonField
	f, ok := task.Field(e.reasonField)
	if ok {
		e.reasonField = f.Name
	}
	if e.reasonField != "" && (!ok || !f.Updateable || !task.Updateable) {
		s.Dropped = append(s.Dropped, taskObject+"."+e.reasonField+" (the reason of a call cannot be written)")
		e.reasonField = ""
	}
	if len(s.Dropped) > 0 {
		e.cfg.Log.Warn("the org lacks or hides fields: they are left out", "fields", strings.Join(s.Dropped, ", "))
	}
	e.schema = s
	return nil
}

// object is an object as described, by its name in any case.
func (s *schema) object(name string) salesforce.Object {
	for n, o := range s.Objects {
		if strings.EqualFold(n, name) {
			return o
		}
	}
	return salesforce.Object{}
}

// A ConfigError is a setting that does not fit the org: no later cycle can mend it.
type ConfigError struct{ err error }

func (e *ConfigError) Error() string { return e.err.Error() }
func (e *ConfigError) Unwrap() error { return e.err }

// Cure returns what to do about it.
func (e *ConfigError) Cure() string {
	return "Correct the configuration, then start callpoint again; callpoint check compares it with the org."
}

func configError(format string, args ...any) error {
	return &ConfigError{fmt.Errorf(format, args...)}
}

// checkNames checks the fields that settings name against the org's types.
func (e *Engine) checkNames(task salesforce.Object, key salesforce.Field) error {
	var problems []error
	if slices.ContainsFunc(e.fields.Names(), func(name string) bool { return strings.EqualFold(name, key.Name) }) {
		problems = append(problems, fmt.Errorf("CALLPOINT_FIELDS: %s is the key of callpoint's records and cannot be mapped: two calls would share one record", key.Name))
	}
	for _, entry := range e.cfg.Settings.CallTime {
		at, minus, _ := strings.Cut(entry, "-")
		at, minus = strings.TrimSpace(at), strings.TrimSpace(minus)
		if f, ok := task.Field(at); ok && f.Type != "datetime" {
			problems = append(problems, fmt.Errorf("CALLPOINT_CALL_TIME: Task.%s is of type %s, not datetime: a call is matched by the minute", f.Name, f.Type))
		}
		if f, ok := task.Field(minus); ok && minus != "" && !slices.Contains([]string{"int", "long", "double", "percent", "currency", "string"}, f.Type) {
			problems = append(problems, fmt.Errorf("CALLPOINT_CALL_TIME: Task.%s is of type %s, not a number of seconds", f.Name, f.Type))
		}
	}
	if f, ok := task.Field(e.cfg.ReasonField); ok && e.cfg.ReasonField != "" {
		switch {
		case !strings.HasSuffix(strings.ToLower(f.Name), "__c"):
			problems = append(problems, fmt.Errorf("CALLPOINT_REASON_FIELD: Task.%s is a standard field, which others read; create a custom text field for the reason", f.Name))
		case f.Type != "string" && f.Type != "textarea":
			problems = append(problems, fmt.Errorf("CALLPOINT_REASON_FIELD: Task.%s is of type %s, not text", f.Name, f.Type))
		case f.ExternalID || f.Unique:
			problems = append(problems, fmt.Errorf("CALLPOINT_REASON_FIELD: Task.%s is a key (External ID or Unique); create a plain text field for the reason", f.Name))
		case slices.ContainsFunc(e.cfg.Settings.TaskFields(), func(name string) bool { return strings.EqualFold(name, f.Name) }):
			problems = append(problems, fmt.Errorf("CALLPOINT_REASON_FIELD: Task.%s is read by callpoint itself and would be overwritten; create a custom text field for the reason", f.Name))
		}
	}
	if f, ok := task.Field(e.cfg.Settings.BizibleIDField); ok && !f.Filterable && f.Type != "" {
		problems = append(problems, fmt.Errorf("CALLPOINT_BIZIBLE_ID_FIELD: Task.%s cannot be filtered (a long text, or encrypted): use another field, or deterministic encryption", f.Name))
	}
	if !key.Filterable && key.Type != "" {
		problems = append(problems, fmt.Errorf("CALLPOINT_EXTERNAL_ID_FIELD: %s cannot be filtered (a long text, or encrypted): use another field, or deterministic encryption", key.Name))
	}
	if len(problems) > 0 {
		return &ConfigError{errors.Join(problems...)}
	}
	return nil
}

func fieldInfo(o salesforce.Object) []mapping.FieldInfo {
	all := make([]mapping.FieldInfo, len(o.Fields))
	for i, f := range o.Fields {
		all[i] = mapping.FieldInfo{Name: f.Name, Type: f.Type, Length: f.Length,
			Createable: f.Createable, Updateable: f.Updateable, Nillable: f.Nillable}
	}
	return all
}

// forgetSchema makes the next cycle describe the org anew, because it refused what it had described.
func (e *Engine) forgetSchema() {
	if e.schema != nil {
		e.schema.At = time.Time{}
	}
}

// fingerprint covers everything that mapping depends on, the org's fields included.
func (e *Engine) fingerprint() string {
	h := sha256.New()
	fmt.Fprintln(h, e.cfg.Fingerprint, e.cfg.TouchpointObject, e.cfg.ExternalID, e.cfg.Persons)
	if e.schema != nil {
		fmt.Fprintln(h, e.schema.Dropped)
	}
	if e.cfg.ReasonField != "" {
		fmt.Fprintln(h, e.cfg.ReasonField)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
