package orgsim

import (
	"strings"
	"sync"
	"time"
)

func taskObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Task", "00T",
		Field{Name: "Subject", Type: "combobox"},
		Field{Name: "Type", Type: "picklist", Length: 40, Values: []string{"Call", "Email", "Meeting", "Other"}},
		Field{Name: "TaskSubtype", Type: "picklist", Length: 40, NoUpdate: true, Restricted: true, Default: "Task",
			Values: []string{"Task", "Email", "ListEmail", "Cadence", "Call", "LinkedIn"}},
		Field{Name: "Status", Type: "picklist", NotNillable: true, Default: "Not Started",
			Values: []string{"Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred"}},
		Field{Name: "Priority", Type: "picklist", NotNillable: true, Default: "Normal", Values: []string{"High", "Normal", "Low"}},
		Field{Name: "ActivityDate", Type: "date"},
		Field{Name: "CompletedDateTime", Type: "datetime", ReadOnly: true},
		lookup("WhoId", "Contact", "Lead"), lookup("WhatId", "Account", "Campaign", "Case", "Opportunity"),
		Field{Name: "AccountId", Type: "reference", ReferenceTo: []string{"Account"}, ReadOnly: true, calc: taskAccount},
		Field{Name: "CallType", Type: "picklist", Length: 40, Values: []string{"Internal", "Inbound", "Outbound"}},
		Field{Name: "CallDurationInSeconds", Type: "int"},
		str("CallObject", 255), str("CallDisposition", 255),
		Field{Name: "Description", Type: "textarea", Length: 32000},
		Field{Name: "IsClosed", Type: "boolean", ReadOnly: true, NotNillable: true,
			calc: func(_ *Org, r map[string]any) any { return closed(r) }},
		Field{Name: "IsArchived", Type: "boolean", ReadOnly: true, NotNillable: true, calc: taskArchived})
	obj.beforeSave = func(o *Org, old, r map[string]any) {
		if !closed(r) {
			delete(r, "CompletedDateTime")
		} else if !closed(old) && r["CompletedDateTime"] == nil {
			r["CompletedDateTime"] = o.now()
		}
	}
	return owned(obj)
}

func closed(task map[string]any) bool { return task["Status"] == "Completed" }

// archiveAge is how old a closed activity gets before "query" no longer shows it.
const archiveAge = 365 * 24 * time.Hour

func taskArchived(o *Org, r map[string]any) any {
	limit := o.now().Add(-archiveAge)
	if day, ok := r["ActivityDate"].(string); ok {
		return closed(r) && day <= limit.Format(time.DateOnly)
	}
	created, _ := r["CreatedDate"].(time.Time)
	return closed(r) && !created.After(limit)
}

func taskAccount(o *Org, r map[string]any) any {
	what, _ := r["WhatId"].(string)
	if strings.HasPrefix(what, "001") {
		return what
	}
	for _, id := range []any{r["WhatId"], r["WhoId"]} {
		if _, target := o.target(id); target != nil && target["AccountId"] != nil {
			return target["AccountId"]
		}
	}
	return nil
}

func eventObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Event", "00U",
		Field{Name: "Subject", Type: "combobox"},
		Field{Name: "Type", Type: "picklist", Length: 40, Values: []string{"Call", "Email", "Meeting", "Other"}},
		Field{Name: "EventSubtype", Type: "picklist", Length: 40, NoUpdate: true, Default: "Event"},
		lookup("WhoId", "Contact", "Lead"), lookup("WhatId", "Account", "Campaign", "Case", "Opportunity"),
		Field{Name: "AccountId", Type: "reference", ReferenceTo: []string{"Account"}, ReadOnly: true, calc: taskAccount},
		str("Location", 255), Field{Name: "Description", Type: "textarea", Length: 32000},
		Field{Name: "StartDateTime", Type: "datetime"}, Field{Name: "EndDateTime", Type: "datetime"},
		Field{Name: "ActivityDateTime", Type: "datetime"}, Field{Name: "ActivityDate", Type: "date"},
		Field{Name: "DurationInMinutes", Type: "int"},
		Field{Name: "IsAllDayEvent", Type: "boolean", NotNillable: true, Default: false},
		Field{Name: "IsArchived", Type: "boolean", ReadOnly: true, NotNillable: true, calc: eventArchived})
	obj.beforeSave = eventTimes
	return owned(obj)
}

// eventTimes completes start, end and duration from those of them that are given.
func eventTimes(_ *Org, old, r map[string]any) {
	start, ok := r["StartDateTime"].(time.Time)
	if !ok {
		if start, ok = r["ActivityDateTime"].(time.Time); !ok {
			return
		}
	}
	minutes, given := r["DurationInMinutes"].(float64)
	shifted := given && old != nil && minutes != old["DurationInMinutes"] && r["EndDateTime"] == old["EndDateTime"]
	if end, ok := r["EndDateTime"].(time.Time); ok && !shifted {
		minutes, given = end.Sub(start).Minutes(), true
	}
	if !given {
		minutes = 60
	}
	r["StartDateTime"], r["ActivityDateTime"], r["DurationInMinutes"] = start, start, minutes
	r["EndDateTime"], r["ActivityDate"] = start.Add(time.Duration(minutes)*time.Minute), start.Format(time.DateOnly)
}

func eventArchived(o *Org, r map[string]any) any {
	end, ok := r["EndDateTime"].(time.Time)
	return ok && !end.After(o.now().Add(-archiveAge))
}
