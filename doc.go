// Package callpoint is the root of the module; the program is cmd/callpoint.
//
//	cmd/callpoint     the one binary: a file per command, wiring
//	sync/engine       poll, resolve, upsert
//	sync/salesforce   client of one org
//	sync/collector    HTTP in: events and sessions
//	sync/monitor      health, calls and visitors over HTTP
//	sync/orgsim       a simulated org, for the demo and the tests
//	store             records and indexes over an ordered key-value transaction (store/kv; store/kv/boltkv: bbolt)
//	mapping           the rules: pure functions
//	when              durations, times and time zones as people write them
package callpoint
