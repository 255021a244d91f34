package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// schema is what the org's describe said, kept in the store over restarts.
type schema struct {
	At      time.Time                    `json:"at"`
	For     string                       `json:"for"` // object and key that it was asked for
	Objects map[string]salesforce.Object `json:"objects"`
	Dropped []string                     `json:"dropped"` // what the org lacks, as reported
}

// learn describes the org's objects, or remembers what they were within the last day,
// and fits the field map to them. While the org is away, what was known longer ago does.
func (e *Engine) learn(ctx context.Context) error {
	want := e.cfg.TouchpointObject + " " + e.cfg.ExternalID + " " + e.cfg.Persons
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
	objects := []string{"Task", e.cfg.TouchpointObject}
	if e.cfg.Persons != PersonsOff {
		objects = append(objects, personObject)
	}
	for _, name := range objects {
		o, err := e.cfg.Org.Describe(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", name, err)
		}
		fresh.Objects[name] = o
	}
	return fresh, nil
}

// fit checks what callpoint cannot do without, and leaves out what it can.
func (e *Engine) fit(s *schema) error {
	task, tp := s.Objects["Task"], s.Objects[e.cfg.TouchpointObject]
	if _, ok := task.Field(e.cfg.Settings.BizibleIDField); !ok {
		return fmt.Errorf("the Task object has no field %s that this user may read: install the Marketo Measure package 6.7 or later, grant read access to the field, or set CALLPOINT_BIZIBLE_ID_FIELD", e.cfg.Settings.BizibleIDField)
	}
	key, ok := tp.Field(e.cfg.ExternalID)
	switch {
	case !ok:
		return fmt.Errorf("%s has no field %s that this user may read: grant access to it, or create a text field (255) marked External ID and Unique and name it in CALLPOINT_EXTERNAL_ID_FIELD", e.cfg.TouchpointObject, e.cfg.ExternalID)
	case !key.ExternalID && !key.IDLookup:
		return fmt.Errorf("%s.%s is no External ID: create a text field (255) marked External ID and Unique and name it in CALLPOINT_EXTERNAL_ID_FIELD", e.cfg.TouchpointObject, e.cfg.ExternalID)
	}
	e.mu.Lock() // Look reads the settings from other goroutines
	defer e.mu.Unlock()
	s.Dropped = e.cfg.Settings.DropTaskFields(func(field string) bool {
		if strings.Contains(field, ".") {
			return false // a parent's field: the query itself tells
		}
		_, ok := task.Field(field)
		return !ok
	})
	for _, name := range e.fields.TaskFields() {
		if slices.ContainsFunc(s.Dropped, func(gone string) bool { return strings.EqualFold(gone, name) }) {
			return fmt.Errorf("the field map uses {%s}, which Task has not, or hides from this user: grant read access, or take it out of CALLPOINT_FIELDS", name)
		}
	}
	fitted, dropped, err := e.fields.Fit(fieldInfo(tp))
	if err != nil {
		return err
	}
	e.cfg.Settings.Fields = fitted
	s.Dropped = append(s.Dropped, dropped...)
	e.reasonField = e.cfg.ReasonField
	if f, ok := task.Field(e.reasonField); e.reasonField != "" && (!ok || !f.Updateable || !task.Updateable) {
		s.Dropped = append(s.Dropped, taskObject+"."+e.reasonField+" (the reason of a call cannot be written)")
		e.reasonField = ""
	}
	if len(s.Dropped) > 0 {
		e.cfg.Log.Warn("the org lacks or hides fields: they are left out", "fields", strings.Join(s.Dropped, ", "))
	}
	e.schema = s
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

// forgetSchema makes the next cycle describe the org anew, because it said no to what it had described.
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
