// Package engine runs the loop: poll the org's Tasks, resolve each call to its web
// session, upsert the touchpoints that follow.
//
// A cycle has three steps, each leaves the store consistent, and they overlap: while a page
// is on its way the one before it is resolved, and up to three write calls that share no
// parent are under way. One goroutine owns the engine; the others only ask and wait.
//
//	poll     pages of changed Tasks -> calls; the cursor moves in the same transaction
//	resolve  dirty journeys -> answers and touchpoints as they should stand, in one transaction
//	upsert   due touchpoints -> the org; marked as sent before, recorded after
//
// A crash anywhere repeats at most the steps it fell into. Tasks that were read
// already do not differ from what is known; a journey stays dirty until its answer is
// on disk; a touchpoint that was sent without an answer is sent again under the same
// external id, so that there is one record whatever happened. Recovery is no code of
// its own: it is the next cycle.
//
// A record that Salesforce refuses is parked and keeps nobody back; an object of which it
// refuses every record is paused and tried with one record now and then; collections that
// the org's triggers cannot take are halved. All of that, and the count of API calls, is
// kept over restarts.
package engine
