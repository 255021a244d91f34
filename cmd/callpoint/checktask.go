package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// task checks what is read of Tasks, and the query of the poll.
func (k *checker) task(ctx context.Context, task salesforce.Object, err error) {
	switch {
	case err != nil:
		k.fail("Task", salesforce.Cure(err), "%v", err)
		return
	case !task.Queryable:
		k.fail("Task", permissionSetCure, "the user may not read Tasks")
		return
	}
	k.reason(task)
	if _, ok := task.Field(k.settings.BizibleIDField); !ok {
		k.fail("Task", "Install the Marketo Measure package 6.7 or later, grant read access to the field in a permission set, or set CALLPOINT_BIZIBLE_ID_FIELD.",
			"no field %s that this user may read", k.settings.BizibleIDField)
		return
	}
	dropped := k.settings.DropTaskFields(func(field string) bool {
		_, ok := task.Field(field)
		return !ok && !strings.Contains(field, ".")
	})
	if len(dropped) > 0 {
		k.warn("Task", "Grant read access to them in a permission set, or leave it: callpoint works without.", "missing or hidden: %s", strings.Join(dropped, ", "))
	} else {
		k.ok("Task", "all fields that are read exist: %s", strings.Join(k.settings.TaskFields(), ", "))
	}
	k.calls(ctx)
}

// calls runs the query of the poll and counts the calls that carry an id.
func (k *checker) calls(ctx context.Context) {
	filter := k.cfg.TaskFilter
	if filter == "" {
		filter = engine.DefaultTaskFilter(k.settings.BizibleIDField)
	}
	since := k.cfg.Start.from(time.Now())
	soql := fmt.Sprintf("SELECT %s FROM Task WHERE (%s) AND CreatedDate >= %s ORDER BY SystemModstamp, Id LIMIT 200",
		strings.Join(k.settings.TaskFields(), ", "), filter, salesforce.DateTime(since))
	k.wait("the calls since " + since.Format(time.DateOnly))
	page, err := k.client.Query(ctx, soql, salesforce.QueryOptions{All: true})
	switch {
	case err != nil && salesforce.Classify(err) == salesforce.NarrowQuery:
		k.warn("task_query", "Grant View All Data to the integration user; without it callpoint reads shorter spans of time, which takes more API calls.", "%v", err)
		return
	case err != nil:
		k.fail("task_query", salesforce.Cure(err), "%v", err)
		return
	case len(page.Records) == 0:
		k.warn("task_query", "If there are calls, check CALLPOINT_TASK_FILTER and CALLPOINT_START, and that the user may see other users' Tasks (View All on Leads and Contacts, or View All Data).",
			"no call since %s is visible", since.Format(time.DateOnly))
		return
	}
	with := 0
	for _, r := range page.Records {
		if id, _ := r[k.settings.BizibleIDField].(string); id != "" {
			with++
		}
	}
	switch {
	case with == 0:
		k.warn("task_query", "The call-tracking vendor must copy the _biz_uid cookie into this field: take it up with the vendor.",
			"none of %d calls carries a BizibleId in %s", len(page.Records), k.settings.BizibleIDField)
	case 2*with < len(page.Records):
		k.warn("task_query", "Calls of sales people belong out of CALLPOINT_TASK_FILTER; for the rest the call-tracking vendor must copy the _biz_uid cookie into the field.",
			"only %d of %d calls carry a BizibleId in %s", with, len(page.Records), k.settings.BizibleIDField)
	default:
		k.ok("task_query", "%d of %d calls carry a BizibleId", with, len(page.Records))
	}
}

// reason checks the field of Task that takes a call's reason, where one is named.
func (k *checker) reason(task salesforce.Object) {
	const what = "Task reason"
	name := k.cfg.taskReason()
	f, ok := task.Field(name)
	switch {
	case name == "":
	case !ok:
		k.fail(what, "Object Manager, Activity, Fields: create a text field (40), and grant Edit in a permission set; or correct CALLPOINT_REASON_FIELD.",
			"no field %s that this user may read", name)
	case !task.Updateable || !f.Updateable:
		k.fail(what, "Setup, Permission Sets: grant Edit Tasks, and Edit on the field, to the integration user.", "%s may not be edited by this user", name)
	case f.Length < len(mapping.SessionAlreadyUsed):
		k.fail(what, "Object Manager, Activity, Fields: make it a text field of length 40.", "%s holds %d characters, a reason up to %d", name, f.Length, len(mapping.SessionAlreadyUsed))
	default:
		k.ok(what, "%s takes each call's reason", name)
	}
}
