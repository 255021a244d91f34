package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/salesforce"
)

// applySources reads CALLPOINT_CALL_SOURCES, or the sources of the vendor where no file is
// named, and takes over what the block [task] sets.
func (c *Config) applySources() error {
	c.sources = mapping.Sources{ReadTasks: true}
	if c.CallSources == "" {
		for _, name := range vendors[c.Vendor].sources {
			s, _ := mapping.BuiltinSource(name) // a test compares the names
			c.sources.Others = append(c.sources.Others, s)
		}
		c.sources.ReadTasks = len(c.sources.Others) == 0
		return nil
	}
	text, err := os.ReadFile(c.CallSources)
	if err == nil {
		c.sources, err = mapping.ParseSources(text)
	}
	if err != nil {
		return fmt.Errorf("CALLPOINT_CALL_SOURCES=%s: %w", c.CallSources, err)
	}
	task := c.sources.Task
	for _, v := range []struct {
		name, key string
		set       bool
		given     bool
	}{
		{"CALLPOINT_TASK_FILTER", "filter", c.TaskFilter != "", task.Filter != ""},
		{"CALLPOINT_BIZIBLE_ID_FIELD", "bizible_id", c.BizibleIDField != "", task.BizibleID.Field != ""},
		{"CALLPOINT_CALL_TIME", "call_time", len(c.CallTime) > 0, len(task.CallTime) > 0},
	} {
		if v.set && v.given {
			return fmt.Errorf("CALLPOINT_CALL_SOURCES=%s: [task] %s and %s are both set; keep one", c.CallSources, v.key, v.name)
		}
	}
	if task.BizibleID.SlotValue != "" || task.BizibleID.Constant != "" {
		return fmt.Errorf("CALLPOINT_CALL_SOURCES=%s: [task] bizible_id is a field of Task", c.CallSources)
	}
	if task.Filter != "" {
		c.TaskFilter = task.Filter
	}
	if task.BizibleID.Field != "" {
		c.BizibleIDField = task.BizibleID.Field
	}
	if len(task.CallTime) > 0 {
		c.CallTime = task.CallTime
	}
	return nil
}

// newestRows is how many rows of a source check shows.
const newestRows = 3

// sources checks each further source: its object and fields, its query, and its newest rows
// as they are read.
func (k *checker) sources(ctx context.Context) {
	for _, src := range k.cfg.sources.Others {
		name := "source " + src.Name
		o, err := k.describe(ctx, src.Object)
		if err != nil {
			k.fail(name, salesforce.Cure(err), "%s: %v", src.Object, err)
			continue
		}
		var fields []mapping.FieldInfo
		for _, f := range o.Fields {
			fields = append(fields, mapping.FieldInfo{Name: f.Name, Type: f.Type, Length: f.Length})
		}
		if err := src.Fit(fields); err != nil {
			k.fail(name, "Correct CALLPOINT_CALL_SOURCES, or grant read access in a permission set.", "%v", err)
			continue
		}
		k.newest(ctx, name, &src)
	}
}

// newest shows the newest rows of a source.
func (k *checker) newest(ctx context.Context, name string, src *mapping.Source) {
	filter := src.Filter
	if filter == "" {
		filter = "Id != null"
	}
	soql := fmt.Sprintf("SELECT %s FROM %s WHERE (%s) ORDER BY CreatedDate DESC LIMIT 200", strings.Join(src.Fields(), ", "), src.Object, filter)
	page, err := k.client.Query(ctx, soql, salesforce.QueryOptions{})
	if err != nil {
		k.fail(name, salesforce.Cure(err), "%v", err)
		return
	}
	if len(page.Records) == 0 {
		k.warn(name, "If there are calls, check the source's filter and the user's access to its rows.", "no row of %s is visible", src.Object)
		return
	}
	with := 0
	var shown []string
	var calls []mapping.Call
	for _, r := range page.Records {
		call, err := k.settings.ReadSourceCall(src, r)
		if err != nil {
			k.fail(name, "Correct call_time in CALLPOINT_CALL_SOURCES.", "%v", err)
			return
		}
		calls = append(calls, call)
		if call.Visitor != "" {
			with++
		}
		if len(shown) < newestRows {
			id, who := call.Visitor, call.WhoID()
			if id == "" {
				id = "no BizibleId"
			}
			if who == "" {
				who = "nobody"
			}
			shown = append(shown, fmt.Sprintf("%s at %s, %s, %s", call.TaskID, call.At.UTC().Format(time.RFC3339), id, who))
		}
	}
	detail := fmt.Sprintf("%s: %d of the newest %d rows carry a BizibleId; newest: %s", src.Object, with, len(calls), strings.Join(shown, "; "))
	if 2*with < len(calls) {
		k.warn(name, "Check bizible_id in CALLPOINT_CALL_SOURCES, and that the vendor records the _biz_uid cookie.", "%s", detail)
	} else {
		k.ok(name, "%s", detail)
	}
	if k.cfg.sources.ReadTasks {
		k.twice(ctx, name, calls)
	}
}

// twiceWithin is how far the times of two records of one call may differ.
const twiceWithin = 10 * time.Minute

// twice looks for Tasks of the calls of another source: customers' automation copies them.
func (k *checker) twice(ctx context.Context, name string, calls []mapping.Call) {
	ids := map[string][]time.Time{}
	var quoted []string
	for _, c := range calls {
		if c.Visitor == "" {
			continue
		}
		if ids[c.Visitor] == nil {
			quoted = append(quoted, salesforce.Quote(c.Visitor))
		}
		ids[c.Visitor] = append(ids[c.Visitor], c.At)
	}
	if len(quoted) == 0 {
		return
	}
	soql := fmt.Sprintf("SELECT %s FROM Task WHERE %s IN (%s) ORDER BY CreatedDate DESC LIMIT 200",
		strings.Join(k.settings.TaskFields(), ", "), k.settings.BizibleIDField, strings.Join(quoted, ","))
	page, err := k.client.Query(ctx, soql, salesforce.QueryOptions{})
	if err != nil {
		return // the line on Tasks reports it
	}
	n := 0
	types := map[string]bool{}
	for _, r := range page.Records {
		task, err := k.settings.ReadCall(r)
		if err != nil {
			continue
		}
		for _, at := range ids[task.Visitor] {
			if at.Sub(task.At).Abs() <= twiceWithin {
				n++
				if typ, _ := r["Type"].(string); typ != "" {
					types[typ] = true
				}
				break
			}
		}
	}
	if n == 0 {
		return
	}
	proposal := "[task] read = no"
	if len(types) == 1 {
		for typ := range types {
			proposal = fmt.Sprintf("[task] read = no, or CALLPOINT_TASK_FILTER=%s != null AND Type != '%s'", k.settings.BizibleIDField, typ)
		}
	}
	k.warn(name, "Read each call from one place: "+proposal+".", "%d calls are also Tasks with the same BizibleId, within %s: each is counted twice", n, twiceWithin)
}
