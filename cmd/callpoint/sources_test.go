package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
)

// sourceCase is one way for calls to be in Salesforce.
type sourceCase struct {
	name, object string
	file         string // CALLPOINT_CALL_SOURCES; empty: the vendor's preset
	env          []string
	fields       func(visitor, lead string, at time.Time) map[string]any
	id           string // the field that holds the BizibleId
	out          map[string]any
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

// sourceCases are the built-in sources; the rules of Tasks hold for each of them.
var sourceCases = []sourceCase{
	{
		name: "task", object: "Task", id: "bizible2__BizibleId__c",
		env: []string{"CALLPOINT_TASK_FILTER=Status = 'Completed'"},
		fields: func(visitor, lead string, at time.Time) map[string]any {
			return map[string]any{"bizible2__BizibleId__c": visitor, "WhoId": lead, "Type": "Call", "Subject": "Call", "Status": "Completed", "bizible2__Bizible_Touchpoint_Date__c": stamp(at)}
		},
		out: map[string]any{"Status": "Open"},
	},
	{
		name: "event", object: "Event", id: "bizible2__BizibleId__c",
		file: "[task]\nread = no\n[event]\nfilter = Subject != 'no call'\ncall_time = bizible2__Bizible_Touchpoint_Date__c, StartDateTime\n",
		fields: func(visitor, lead string, at time.Time) map[string]any {
			return map[string]any{"bizible2__BizibleId__c": visitor, "WhoId": lead, "Type": "Call", "Subject": "Call",
				"bizible2__Bizible_Touchpoint_Date__c": stamp(at), "StartDateTime": stamp(at), "DurationInMinutes": 5}
		},
		out: map[string]any{"Subject": "no call"},
	},
	{
		name: "invoca", object: orgsim.CallLog, id: "INVOCA_FOR_SF__Customer_String_Value_3__c",
		file: "[task]\nread = no\n[invoca]\ncall_time = CreatedDate-INVOCA_FOR_SF__duration__c, CreatedDate\n",
		fields: func(visitor, lead string, at time.Time) map[string]any {
			return map[string]any{"INVOCA_FOR_SF__transaction_id__c": "t-" + visitor, "INVOCA_FOR_SF__Lead__c": lead,
				"INVOCA_FOR_SF__Customer_String_Name_3__c": "bizible_id", "INVOCA_FOR_SF__Customer_String_Value_3__c": visitor}
		},
		out: map[string]any{"INVOCA_FOR_SF__transaction_id__c": nil},
	},
}

func (c sourceCase) bench(t *testing.T, more ...string) *bench {
	t.Helper()
	env := append(append([]string{}, c.env...), more...)
	if c.file != "" {
		path := filepath.Join(t.TempDir(), "sources.conf")
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, "CALLPOINT_CALL_SOURCES="+path)
	}
	return newBench(t, env...)
}

// Everything that holds for Tasks holds for the rows of other sources: matching, a BizibleId
// that comes later, a row that leaves the filter, a deleted row, the reason and the name of
// the source.
func TestEverySourceOfCalls(t *testing.T) {
	t.Parallel()
	for _, c := range sourceCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := c.bench(t, "CALLPOINT_RETRACT=delete", "CALLPOINT_UNMATCHED_HOLD=0s")
			lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now().Add(-time.Minute)
			d := b.daemon()
			d.send(view("visitor-a", now.Add(-10*time.Minute), "https://www.example.com/?utm_source=a", ""),
				view("visitor-b", now.Add(-10*time.Minute), "https://www.example.com/?utm_source=b", ""))
			insert := func(visitor string) string {
				id, err := b.org.Insert(c.object, c.fields(visitor, lead, now))
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			one, late := insert("visitor-a"), insert("")
			update := func(id string, fields map[string]any) {
				if err := b.org.Update(c.object, id, fields); err != nil {
					t.Fatal(err)
				}
			}
			d.sync()
			b.expect(one, map[string]any{"Touchpoint_Source": "a", "Touchpoint_Type": "Call"})
			v := d.call(one)
			if v.Source != c.name || v.Reason != "matched" || v.WhoID != lead {
				t.Errorf("%+v", v)
			}
			if v := d.call(late); v.Reason != "no_bizible_id" {
				t.Errorf("without an id: %s", v.Reason)
			}
			update(late, map[string]any{c.id: "visitor-b"})
			d.sync()
			b.expect(late, map[string]any{"Touchpoint_Source": "b"})
			update(one, map[string]any{c.id: "nobody"})
			d.sync()
			b.expect(one, map[string]any{"Touchpoint_Source": "CRM Activity"})
			update(one, c.out)
			d.sync()
			if err := b.org.Delete(c.object, late); err != nil {
				t.Fatal(err)
			}
			d.sync()
			if v := d.call(late); v.Reason != "task_deleted" {
				t.Errorf("a deleted row: %s", v.Reason)
			}
			if n := len(b.org.Records(touchpoints)); n != 1 {
				t.Errorf("%d touchpoints after the deletion, want 1", n)
			}
			var list monitor.CallList
			_, text := d.request(http.MethodGet, "/v1/calls", nil)
			if err := json.Unmarshal(text, &list); err != nil || len(list.Calls) != 2 {
				t.Errorf("%d calls, %v", len(list.Calls), err)
			}
			d.stop()
			if s := b.syncOnce(); s.TasksChanged != 0 {
				t.Errorf("the cursor of the source was lost: %+v", s)
			}
		})
	}
}

// Tasks and a further source beside each other, each with its own cursor.
func TestSourcesBesideTasks(t *testing.T) {
	t.Parallel()
	c := sourceCases[2]
	c.file = "[invoca]\n"
	b := c.bench(t, "CALLPOINT_UNMATCHED_HOLD=0s")
	lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	task := b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": "visitor-a", "WhoId": lead})
	row, err := b.org.Insert(c.object, c.fields("visitor-b", lead, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	d := b.daemon()
	d.send(view("visitor-c", yesterday("01:00:00"), "https://www.example.com/", ""))
	d.sync()
	if a, b := d.call(task), d.call(row); a.Source != "task" || b.Source != "invoca" {
		t.Errorf("sources %q and %q", a.Source, b.Source)
	}
	d.stop()
}

// A source that the org does not have stops the start, with line and cure. One that was read
// before fails alone: Tasks are read on, and health names it.
func TestSourceThatCannotBeRead(t *testing.T) {
	t.Parallel()
	c := sourceCases[2]
	c.file = "[dialer]\nobject = Dialer_Call__c\nbizible_id = Cookie__c\nlead = Lead__c\n"
	b := c.bench(t)
	_, errs, code := b.run("--sync-once")
	if code != exitConfig || !strings.Contains(errs, "[dialer]") || !strings.Contains(errs, "Dialer_Call__c") {
		t.Errorf("an object that is not there: exit %d, %s", code, errs)
	}
	c.file = "[invoca]\nsubject = Nothing__c\n"
	b = c.bench(t)
	if _, errs, code = b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, "line 2: [invoca] subject") || !strings.Contains(errs, "Nothing__c") {
		t.Errorf("a field that is not there: exit %d, %s", code, errs)
	}
	c.file = "[invoca]\n"
	b = c.bench(t)
	b.syncOnce()
	d := b.daemon()
	d.sync()
	b.org.HideObject(orgsim.CallLog)
	task := b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": "visitor-a"})
	d.request(http.MethodPost, "/v1/sync", nil)
	if v := d.call(task); v.TaskID != task {
		t.Errorf("the Task was not read: %+v", v)
	}
	h := d.health()
	found := false
	for _, check := range h.Checks {
		found = found || check.Status == monitor.Degraded && strings.Contains(check.Detail, "invoca")
	}
	if !found {
		t.Errorf("health does not name the source: %+v", h)
	}
	d.stop()
}

func TestSourcesConfiguration(t *testing.T) {
	t.Parallel()
	c := sourceCase{file: "[invoca]\nbizibleid = x\n"}
	b := c.bench(t)
	if _, errs, code := b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, "CALLPOINT_CALL_SOURCES=") || !strings.Contains(errs, `line 2: unknown key "bizibleid"`) {
		t.Errorf("exit %d: %s", code, errs)
	}
	c.file = "[task]\nfilter = Subject != null\n"
	b = c.bench(t, "CALLPOINT_TASK_FILTER=Type = 'Call'")
	if _, errs, code := b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, "are both set") {
		t.Errorf("two filters: exit %d: %s", code, errs)
	}
	for name, v := range vendors {
		for _, source := range v.sources {
			if _, err := loadConfig([]string{"CALLPOINT_VENDOR=" + name}, ""); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			c, _ := loadConfig([]string{"CALLPOINT_VENDOR=" + name}, "")
			if len(c.sources.Others) != len(v.sources) || c.sources.Others[0].Object == "" || c.sources.ReadTasks {
				t.Errorf("%s: %s: %+v", name, source, c.sources)
			}
		}
	}
}

// check shows the newest rows of a source as they are read, and finds a call that is there
// twice.
func TestCheckSources(t *testing.T) {
	t.Parallel()
	c := sourceCases[2]
	c.file = "[invoca]\n"
	b := c.bench(t)
	lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	row, err := b.org.Insert(c.object, c.fields("visitor-b", lead, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := b.run("check")
	if !strings.Contains(out, "source invoca") || !strings.Contains(out, row) || !strings.Contains(out, "visitor-b") || strings.Contains(out, "counted twice") {
		t.Errorf("check:\n%s", out)
	}
	b.task(time.Now().Add(-time.Minute), map[string]any{"bizible2__BizibleId__c": "visitor-b", "WhoId": lead})
	if out, _, _ = b.run("check"); !strings.Contains(strings.Join(strings.Fields(out), " "), "counted twice") || !strings.Contains(out, "read = no") {
		t.Errorf("check with the call as a Task too:\n%s", out)
	}
	if out, _, code := b.run("check", "--permission-set"); code != exitDone || !strings.Contains(out, "<object>"+orgsim.CallLog+"</object>") || !strings.Contains(out, orgsim.CallLog+".INVOCA_FOR_SF__transaction_id__c") {
		t.Errorf("the permission set lacks the source's object or fields:\n%s", out)
	}
}

// The document's file of sources is read as it is.
func TestSourcesExample(t *testing.T) {
	t.Parallel()
	all, err := mapping.ParseSources([]byte(exampleText(t, "docs/vendors.md: # /etc/callpoint/sources.conf")))
	if err != nil || all.ReadTasks || len(all.Others) != 2 || all.Others[1].Outcome.Field != "Result__c" || all.Others[1].Type.Constant != "Call" {
		t.Errorf("%+v, %v", all, err)
	}
}

// check counts the calls that wait for somebody to be named.
func TestCheckCountsCallsOfNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.syncOnce()
	if out, _, _ := b.run("check"); !strings.Contains(out, "every call names a Lead or Contact") {
		t.Errorf("check without such calls:\n%s", out)
	}
	b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": "visitor-a", "WhoId": nil})
	d := b.daemon()
	d.send(view("visitor-a", yesterday("11:50:00"), "https://www.example.com/", ""))
	d.sync()
	d.stop()
	if out, _, _ := b.run("check"); !strings.Contains(strings.Join(strings.Fields(out), " "), "1 of the calls have no touchpoint, because they name no Lead or Contact") {
		t.Errorf("check:\n%s", out)
	}
}
