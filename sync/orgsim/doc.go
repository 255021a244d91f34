// Package orgsim is a simulated Salesforce org behind real HTTP: login, query,
// collections, composite, describe and limits, as strict as the real one. It
// serves the tests, the demo and "callpoint org". It keeps everything in
// memory, behind one mutex, and repeats exactly: ids come from a counter and
// time from Config.Now.
//
//	org := orgsim.New(orgsim.Config{})
//	srv := httptest.NewServer(org)
//	id, err := org.Insert("Task", map[string]any{"TaskSubtype": "Call", "bizible2__BizibleId__c": "b-1"})
//
// # Logging in
//
// An org takes the client credentials flow (DefaultClientID,
// DefaultClientSecret), the password flow (those, DefaultUsername, and
// DefaultPassword followed by DefaultSecurityToken) and the JWT bearer flow
// (iss DefaultClientID, sub DefaultUsername, aud https://login.salesforce.com
// or, with Config.Sandbox, https://test.salesforce.com, exp at most five
// minutes ahead by the org's clock, RS256; the signature is checked where
// Config.JWTKey is set). Org.AccessToken hands out a token without a login. A
// session ends two hours after its last use.
//
// # Inside the org
//
// Insert, Update, Delete, Undelete and Purge are the actions of users, admins and the
// telephony vendor: validated and stamped, but not bound by the API user's
// permissions. InsertLate and UpdateLate stamp a row now and show it later, as
// a long transaction does. Until then an upsert does not find the row, and a
// second insert of its unique key collides with it.
//
// The objects and fields of the Marketo Measure package are read from
// package.tsv, which was taken from the public metadata of four orgs.
//
// Object and its methods change the schema: fields come and go, hide from the
// API user, get locked, shrink; validation rules are added.
//
// # Faults
//
// Fault scripts misbehaviour: statuses, HTML pages, delays, dropped
// connections before and after a request is applied, half answers, refused
// rows, expired sessions, queries that are too large. ParseFault reads the
// same from a line of text. Config.TriggerCPUPerRecord makes the org's own
// automation run into the CPU limit of a transaction. The paths under /sim/
// are switches for scripts; see admin.
//
// # Where the facts are silent
//
// What Salesforce documents or has been seen to do is done. In these points
// nothing reliable is known, and the package decides:
//
//   - A value of the wrong type refuses the whole request with
//     JSON_PARSER_ERROR; its position is always given as line 1, column 1.
//   - A record without attributes.type, or of another type than the URL's,
//     refuses the whole request with INVALID_TYPE.
//   - Too many subrequests or chunks are LIMIT_EXCEEDED.
//   - A lookup to a deleted record is ENTITY_IS_DELETED, to a purged one
//     INVALID_CROSS_REFERENCE_KEY, to a record of another object
//     FIELD_INTEGRITY_EXCEPTION, to no id at all MALFORMED_ID.
//   - "Parent__r": null changes nothing; "Parent__c": null clears.
//   - Deleting a record clears custom lookups to it and moves their
//     SystemModstamp; the Tasks of a deleted Lead or Contact stay. Undelete sets
//     those lookups again that still are empty.
//   - An update that carries a master-detail field is refused, whatever the
//     value. Org.EqualMasterPasses lets the value pass that is there already.
//   - A record that was deleted in a transaction no longer holds its unique keys
//     in that transaction. Org.KeysFreedLate decides otherwise.
//   - Text loses the blanks around it, and empty text is null.
//   - Numbers and booleans are taken in quotes, text without quotes is refused.
//   - An upsert that finds its row leaves the key as it was written first.
//   - The CPU limit fails all rows of the collection that passes it.
//   - Ties, and results without ORDER BY, come in a fixed order that has
//     nothing to do with ids or time.
//   - With allOrNone on a composite, a collection with a failed row is the
//     culprit and gets status 400.
//
// # Left out
//
// TYPEOF, subqueries, HAVING, FIELDS(), date functions and toLabel in SOQL; the
// Bulk API; getUpdated and getDeleted; undelete through the API; sharing. Anything left out is
// refused, never answered wrongly.
package orgsim
