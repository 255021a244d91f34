// Package mapping holds the rules of the domain: how events become sessions, which
// session a call joins, which channel a session came by, and what a touchpoint says.
// It is pure: no I/O, no clock, no logger; the same input gives the same output.
//
// # From events to touchpoints
//
// [Settings.ReadCall] reads a Task as a [Call]. [Settings.Resolve] takes a [Journey], all that is
// known of one visitor, and gives a [Result]: the sessions, one [Resolution] for each call with
// its reason code, and every [Touchpoint] as it should stand in Salesforce. It is run again
// whenever anything of the journey changes, so data may come late and in any order. What it
// gives as [Resolution.Snapshot] and [Touchpoint.Session] must be stored and handed back, for
// [Settings.Prune] drops old events, and their calls live on by their snapshots.
//
// # Channel rules
//
// [ParseRules] reads the CSV file of Marketo Measure: Channel, Sub Channel, Campaign, Medium,
// Source, Landing Page, Referring Website. The first row wins whose cells all fit.
//
//	cell        = alternative { ";" alternative }     blank: no condition
//	alternative = "x" | "x*" | "*x" | "*x*" | "*" | "Any Value"
//	referring   = alternative with a "*", matched against the whole referrer
//	            | domain          "youtube" is youtube.com and all below it
//	            | "direct"        no referrer
//	            | "[" name "]"    built-in logic, such as [AdWords Paid Search]
//
// # Field map
//
// [ParseFields] reads a file of one's own, with a line for a field: Field__c = value. See there.
// [FieldMap.Fit] adjusts the map to what the org has.
package mapping
