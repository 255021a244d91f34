package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Settings that would overwrite what others read, or that do not fit the org, stop the start
// with 78 and the name of the setting, before anything is written.
func TestSettingsThatOverwriteStopTheStart(t *testing.T) {
	t.Parallel()
	fields := filepath.Join(t.TempDir(), "fields.txt")
	if err := os.WriteFile(fields, []byte("bizible2__uniqueid__c = bizible_id\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for env, words := range map[string]string{
		"CALLPOINT_FIELDS=" + fields:                         "bizible2__UniqueId__c is the key",
		"CALLPOINT_REASON_FIELD=Task.Subject":                "standard field",
		"CALLPOINT_REASON_FIELD=Task.Status":                 "standard field",
		"CALLPOINT_REASON_FIELD=Task.bizible2__BizibleId__c": "would be overwritten",
		"CALLPOINT_REASON_FIELD=bizible2__UniqueId__c":       "would be overwritten",
		"CALLPOINT_REASON_FIELD=bizible2__Medium__c":         "would be overwritten",
		"CALLPOINT_CALL_TIME=ActivityDate,CreatedDate":       "of type date",
		"CALLPOINT_CALL_TIME=Subject":                        "not datetime",
		"CALLPOINT_CALL_TIME=CreatedDate-ActivityDate":       "not a number of seconds",
	} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, env)
			b.seedFile()
			_, errs, code := b.run("--sync-once")
			name, _, _ := strings.Cut(env, "=")
			if code != exitConfig || !strings.Contains(errs, name) || !strings.Contains(errs, words) {
				t.Errorf("exit %d: %s", code, errs)
			}
			if n := len(b.org.Records(touchpoints)); n != 0 {
				t.Errorf("%d records were written", n)
			}
		})
	}
}
