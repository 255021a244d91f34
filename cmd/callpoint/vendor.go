package main

import (
	"maps"
	"slices"
	"strings"
)

// A vendor is where one call-tracking vendor's calls are. Empty fields take the
// general default; CALLPOINT_TASK_FILTER, CALLPOINT_BIZIBLE_ID_FIELD and
// CALLPOINT_CALL_TIME win over it. docs/vendors.md names the source of each, or marks
// it as an assumption.
type vendor struct {
	taskFilter string
	idField    string
	callTime   []string
	sources    []string // built-in sources that are read instead of Tasks
}

// typedCalls finds Tasks of vendors who set Type, not TaskSubtype.
const typedCalls = "bizible2__BizibleId__c != null OR ((Type = 'Call' OR TaskSubtype = 'Call') AND CallType != 'Outbound')"

var vendors = map[string]vendor{
	"generic": {},
	// Fills the package's own fields on a Task of the call.
	"ctm": {callTime: []string{"bizible2__Bizible_Touchpoint_Date__c", "CreatedDate-CallDurationInSeconds"}},
	// Logs a completed Task after the call, up to 20 minutes late.
	"callrail": {taskFilter: typedCalls},
	// Writes to a call log of its own, which is read instead of the Tasks that a customer's
	// automation makes of it.
	"invoca":     {sources: []string{"invoca"}},
	"dialogtech": {taskFilter: typedCalls},
	// Comes through a workflow tool: the Task is what the customer maps, created when the
	// workflow runs, with no duration.
	"whatconverts": {taskFilter: typedCalls, callTime: []string{"bizible2__Bizible_Touchpoint_Date__c", "CreatedDate"}},
}

func vendorNames() []string { return slices.Sorted(maps.Keys(vendors)) }

// applyVendor fills what was not set explicitly.
func (c *Config) applyVendor() {
	v := vendors[c.Vendor]
	if c.TaskFilter == "" && v.taskFilter != "" {
		c.TaskFilter = v.taskFilter
		if c.BizibleIDField != "" {
			c.TaskFilter = strings.ReplaceAll(v.taskFilter, "bizible2__BizibleId__c", c.BizibleIDField)
		}
	}
	if c.BizibleIDField == "" {
		c.BizibleIDField = v.idField
	}
	if len(c.CallTime) == 0 {
		c.CallTime = v.callTime
	}
}
