package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// Names in another case than the org's are the org's: comparisons, repairs and retractions find
// every record.
func TestNamesInAnotherCase(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) {
		e.TouchpointObject, e.ExternalID = strings.ToLower(e.TouchpointObject), strings.ToUpper(e.ExternalID)
		e.Settings.BizibleIDField = strings.ToUpper(e.Settings.BizibleIDField)
	})
	tasks := r.people(4)
	r.cycle()
	r.mustStand(tasks...)
	d, err := r.engine.Reconcile(t.Context(), false)
	if err != nil || d.Differs() || d.Records != 4 {
		t.Errorf("reconcile: %+v %v", d, err)
	}
	r.reopen()
	describes := r.org.Requests().Describes
	r.clock.advance(time.Minute)
	r.cycle()
	if n := r.org.Requests().Describes - describes; n != 0 {
		t.Errorf("%d describes after a restart", n)
	}
	if did, err := r.engine.Retract(t.Context(), time.Time{}, true); err != nil || did.Touchpoints != 4 || len(r.org.Records(touchpoint)) != 0 {
		t.Errorf("retract: %+v %v, %d records stay", did, err, len(r.org.Records(touchpoint)))
	}
}

// Settings that do not fit the org's types stop the start, and name the field and its type.
func TestSettingsThatDoNotFitTheOrg(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*engine.Config)
		words  []string
	}{
		"a date as call time":   {func(c *engine.Config) { c.Settings.CallTime = []string{"ActivityDate", "CreatedDate"} }, []string{"CALLPOINT_CALL_TIME", "ActivityDate", "type date"}},
		"a text as call time":   {func(c *engine.Config) { c.Settings.CallTime = []string{"Subject"} }, []string{"CALLPOINT_CALL_TIME", "Subject"}},
		"a date as a duration":  {func(c *engine.Config) { c.Settings.CallTime = []string{"CreatedDate-ActivityDate"} }, []string{"CALLPOINT_CALL_TIME", "ActivityDate"}},
		"Subject for reasons":   {func(c *engine.Config) { c.ReasonField = "Subject" }, []string{"CALLPOINT_REASON_FIELD", "Subject"}},
		"the id for reasons":    {func(c *engine.Config) { c.ReasonField = "BIZIBLE2__BizibleId__c" }, []string{"CALLPOINT_REASON_FIELD"}},
		"a long text as the id": {func(c *engine.Config) { c.Settings.BizibleIDField = "Description" }, []string{"CALLPOINT_BIZIBLE_ID_FIELD", "filtered"}},
		"the key in the map": {func(c *engine.Config) {
			m, err := mapping.ParseFields([]byte("bizible2__uniqueid__c = bizible_id\n"))
			if err != nil {
				panic(err)
			}
			c.Settings.Fields = m
		}, []string{"CALLPOINT_FIELDS", "bizible2__UniqueId__c"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) { tt.change(e) })
			r.people(1)
			err := r.fails()
			if !errors.As(err, new(*engine.ConfigError)) || engine.Cure(err) == "" {
				t.Fatalf("err = %v", err)
			}
			for _, word := range tt.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q lacks %q", err, word)
				}
			}
			if len(r.org.Records(touchpoint)) != 0 {
				t.Error("something was written")
			}
			if err := r.engine.Run(t.Context(), time.Hour); !errors.As(err, new(*engine.ConfigError)) {
				t.Errorf("Run ends with %v", err)
			}
		})
	}
}
