// Package mapping holds the rules of the domain: how events become sessions, which
// session a call joins, which channel a session came by, and the content of a touchpoint.
// It is pure: no I/O, no clock, no logger; the same input gives the same output.
//
// # From events to touchpoints
//
// [Settings.ReadCall] reads a Task as a [Call]. [Settings.Match] takes a [Journey], which is
// everything known of one visitor, and returns a [Result]: the sessions, and one [Resolution]
// with a reason code for each call. [Settings.Place] then works out the positions of one person
// over all of their visitors, and [Settings.CallTouchpoint] and [Settings.WebTouchpoint] make
// the records. Match is run again whenever anything of the journey changes, so data may arrive
// late and in any order. [Resolution.Snapshot] must be stored and passed back in, because
// [Settings.Prune] drops old events, and their calls are mapped from the snapshots.
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
// [ParseFields] reads a field map of the user, with one line for each field: Field__c = value.
// [FieldMap.Fit] adjusts the map to what the org has.
package mapping
