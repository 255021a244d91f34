// Package store keeps what callpoint records: events, calls, touchpoints, and their indexes.
//
// The records live in the buckets of a kv.DB, an ordered key-value store. kv/boltkv keeps
// it in one bbolt file, kv/pgkv in PostgreSQL. No type of an engine leaves the package.
//
// Methods that change one thing are one transaction; methods that walk or change many
// records use several short ones, and their comments say so. When a method that writes
// returns nil, what it wrote is durable.
//
// # Keys
//
// A journey is a visitor's id, or "\x01" and the Task id for a call without a visitor.
// A person is the id of a Lead or Contact, empty for calls of nobody.
// Ids hold no control characters, so "\x00" ends them in a key. Times are 8 bytes,
// big-endian, milliseconds since 1970 with the sign bit flipped: bytes sort as time does.
//
//	bucket         key                        value
//	meta           name                       identity, org, cursor, earliest event, generation, small states
//	events         visitor 00 time digest     an event; the digest makes a repeat the same key
//	visits         visitor 00 session id      a session that a collector sent finished
//	calls          Task id                    the Task as read, and its resolution
//	timeline       time Task id               - (calls by call time)
//	journeys       journey 00 Task id         - (calls by visitor)
//	dirty          journey                    generation: the journey must be resolved again
//	generations    generation                 journey (dirty journeys, the oldest mark first)
//	wake           time journey               - (a held call's hold ends then)
//	touchpoints    external id                the state of a record, and what was written
//	contents       external id                its desired fields, in JSON, as they are sent
//	sending        external id                - (a request for it is in flight, or its result was lost)
//	owned          journey 00 external id     - (journey records of a visitor)
//	due            time external id           - (touchpoints to send, by when)
//	parked         external id                when a refused touchpoint is tried again
//	reasons        Task id                    the desired value of a Task's reason field, and the written one
//	reasons_due    time Task id               - (reasons to write, by when)
//	persons        Lead or Contact id         its Bizible Person in the org
//	pruned         visitor                    a summary of what retention dropped
//	pruned_before  visitor                    the time before which events were dropped
//	forgotten      salted hash of a visitor   when the visitor was erased; nothing of it is accepted
//	callers        Lead or Contact 00 Task id - (calls by the person that they count for)
//	unnamed        time Task id               - (calls whose person is looked up through the WhatId, by when)
//	conversions    Lead id                    the Contact that the Lead was converted to
//	unasked        Lead id                    - (Leads not yet asked about a conversion)
//	personless     time external id           - (touchpoints whose Lead or Contact has no person in the org, by when to look again)
//	unplaced       external id                - (records that hang from a person that is not known)
//	people         person 00 journey 00 external id  a record, or a call that may get one, as positions need it
//	people_dirty   person 00 journey          generation: the person's positions must be worked out again
//	steps          visitor                    the sessions of a visitor who called that positions need
//	crowds         person                     - (persons with too many BizibleIds to follow)
//	arrivals       random                     time, visitors: of events that instances added and the leader has not seen
//
// Every value except that of an index is an envelope: a version byte, the CRC-32C of
// key and payload, the payload. Version 2 is CBOR, version 1 JSON: contents, the identity
// record, and what was last written under schema 2 or before. Fields may be added to a
// payload; one that changes its meaning raises the schema version in the identity record,
// and migrations convert older stores.
//
// # What is durable when
//
// Calls and the cursor move in one transaction. So do a resolution and the marks of the
// persons who called, and the positions of a person and the touchpoints that follow from
// them: a mark goes only with what it was for. A touchpoint is marked as sent (Begin) before a
// byte of it leaves, and its outcome (Finish) is recorded after the answer: a crash
// in between sends the same content under the same external id again.
//
// # Bounds
//
// Writes wait in a queue of bounded length and size; beyond it Add returns ErrBusy.
// Add returns ErrFull where the file comes near MaxSize or the disk near FreeFloor;
// other writes, such as results of requests, go on into the space reserved for them.
// Prune drops what is older than the retention, Compact gives the space back: both in
// short transactions, while other writes go on.
//
// # Several instances
//
// A store in PostgreSQL is shared. Every instance adds events and reads. One instance leads:
// it alone runs the other methods that write, which return kv.ErrNotLeader elsewhere. The
// right to lead is a lease with a term; a transaction of an earlier term cannot commit.
//
// Whether a visitor has calls is not for Add to see there: an event and its call could
// arrive at the same time at two instances, and neither would see the other. Add leaves an
// arrival, and the leader, who alone stores calls, marks the journeys of arrivals dirty
// (drain). It sees an arrival after the call was stored, or the journey is read after the
// event was stored.
//
// # Caveats
//
// One process owns a file: a second Open fails with ErrInUse after a second. After an
// I/O error of a commit the store refuses writes until it is opened again, because the
// kernel may have dropped what it could not write.
package store
