package main

// An assumption is a row of docs/assumptions.md, which a test compares with
// this list.
type assumption struct {
	number int
	text   string
	state  string
}

// States of an assumption.
const (
	confirmed = "confirmed" // by the public metadata of four orgs
	open      = "open"
	tryOpen   = "open, --try-write" // answered by check --try-write
)

// Numbers of the rows that check --try-write answers.
const (
	rowName = iota + 7
	rowTogether
	rowNoPerson
	rowWithout
	rowOther
	rowEqual
	rowEqualKey
	rowCase
	rowFive
	rowMove
	rowRollback
	rowCascade
	rowHeaders
	rowVisible
)

var assumptions = []assumption{
	{1, "`bizible2__UniqueId__c` of Bizible Touchpoint, Person and Attribution Touchpoint is a text of 255, External ID, unique and case-sensitive", confirmed},
	{2, "The person of a touchpoint is a master-detail field: required on create, not reparentable, no field-level security", confirmed},
	{3, "Raw URLs hold 255 characters, Marketing_Channel, Touchpoint_Source, Browser, Platform and the ad ids 60, Keyword_MatchType 15, Ad_Content 2,048", confirmed},
	{4, "The touchpoint has Contact, Case and, except in the oldest org, Account; the person has Lead, Contact and Case", confirmed},
	{5, "Revenue of an attribution touchpoint is a formula over its Attribution field and the Opportunity's amount, with the names that `report --revenue` sums", confirmed},
	{6, "The package's own permission sets grant Create, Edit and Delete on touchpoints and persons", confirmed},
	{rowName, "A touchpoint or person that is created without a Name gets its record id as Name", tryOpen},
	{rowTogether, "A composite request creates a person and then a touchpoint that refers to it by external id", tryOpen},
	{rowNoPerson, "A create without the person is refused with REQUIRED_FIELD_MISSING", tryOpen},
	{rowWithout, "An update without the person is accepted", tryOpen},
	{rowOther, "An update with another person is refused with INVALID_FIELD_FOR_INSERT_UPDATE", tryOpen},
	{rowEqual, "An update by record id that repeats the person is refused; should it pass, nothing changes for callpoint", tryOpen},
	{rowEqualKey, "An upsert that repeats the person by external id is refused; should it pass, nothing changes for callpoint", tryOpen},
	{rowCase, "An upsert whose key differs in case alone creates a second record", tryOpen},
	{rowFive, "A composite request takes five collections and counts as one API call", tryOpen},
	{rowMove, "One all-or-none composite request deletes a touchpoint and creates it under the same key with another person", tryOpen},
	{rowRollback, "Where the create of such a request is refused, the deletion is undone", tryOpen},
	{rowCascade, "Deleting a person deletes its touchpoints", tryOpen},
	{rowHeaders, "Answers carry `Sforce-Limit-Info` and `Date`", tryOpen},
	{rowVisible, "A query finds a record as soon as its creation was answered", tryOpen},
	{21, "A row becomes visible at most 10 minutes after its SystemModstamp, also where a long transaction writes it", open},
	{22, "Undeleting a person brings its touchpoints back", open},
	{23, "Marketo Measure leaves touchpoints with a key that it did not make alone", open},
	{24, "Marketo Measure builds attribution touchpoints from touchpoints that it did not write", open},
	{25, "Marketo Measure's own touchpoints have keys that begin with `TP2_`, its persons keys that begin with `Person_`", confirmed},
	{26, "The vendor copies `_biz_uid` unchanged into `bizible2__BizibleId__c`", open},
	{27, "`bizible2__Bizible_Touchpoint_Date__c` of a Task is the time of the call", open},
	{28, "Browser and platform read `Safari (603.2)`, `Mac (10_10)` for every browser", open},
	{29, "`queryAll` returns archived Tasks to a user without View All Data", open},
	{30, "Without View and Edit Converted Leads, a reference to a converted Lead is refused with CANNOT_UPDATE_CONVERTED_LEAD", open},
	{31, "The user may read the package's version from `Publisher`, and its own permissions from `UserPermissionAccess`", open},
	{32, "The permission set that `check --permission-set` prints deploys, and suffices", open},
}
