// Package store keeps what callpoint knows in one bbolt file.
//
// Every exported method is one whole transaction with domain types in and out; no
// bbolt type leaves the package. When a method that writes returns nil, what it
// wrote is on disk (fsync).
//
// # Keys
//
// A journey is a visitor's id, or "\x01" and the Task id for a call without one.
// Ids hold no control characters, so "\x00" ends them in a key. Times are 8 bytes,
// big-endian, milliseconds since 1970 with the sign bit flipped: bytes sort as time does.
//
//	bucket        key                        value
//	meta          name                       identity, org, cursor, earliest event, small states
//	events        visitor 00 time digest     an event; the digest makes a repeat the same key
//	visits        visitor 00 session id      a session that a collector sent finished
//	calls         Task id                    the Task as read, and the answer for it
//	timeline      time Task id               - (calls by call time)
//	journeys      journey 00 Task id         - (calls by visitor)
//	dirty         journey                    generation: the journey must be resolved again
//	wake          time journey               - (a held call's hold ends then)
//	touchpoints   external id                where a record stands on its way, and what was written
//	contents      external id                its fields as they should stand, in JSON, as they are sent
//	sending       external id                - (a write of it is on its way, or its answer was lost)
//	owned         journey 00 external id     - (journey records of a visitor)
//	due           time external id           - (touchpoints to send, by when)
//	parked        external id                when a refused touchpoint is tried again
//	reasons       Task id                    what the Task is to say of its call, and what it says
//	untold        time Task id               - (reasons to write, by when)
//	persons       Lead or Contact id         its Bizible Person in the org
//	callers       Lead or Contact 00 Task id - (calls by the person that they count for)
//	unnamed       time Task id               - (calls whose person is looked up through the WhatId, by when)
//	conversions   Lead id                    the Contact that the Lead was converted to
//	unasked       Lead id                    - (Leads not yet asked about a conversion)
//	personless    time external id           - (touchpoints whose Lead or Contact has no person in the org, by when to look again)
//	unplaced      external id                - (records that hang from a person that is not known)
//
// Every value except an index entry is an envelope: a version byte, the CRC-32C of
// key and payload, the payload. Version 2 is CBOR, version 1 JSON: contents, the identity
// record, and what was last written under schema 2 or before. Fields may be added to a
// payload; one that changes its meaning raises the schema version in the identity record,
// and migrations takes older stores along.
//
// # What is durable when
//
// Calls and the cursor move in one transaction, so do a resolution and the
// touchpoints that follow from it. A touchpoint is marked as sent (Begin) before a
// byte of it leaves, and its outcome (Finish) is recorded after the answer: a crash
// in between sends the same content under the same external id again.
//
// # Bounds
//
// Writes wait in a queue of bounded length and size; beyond it they are refused (429).
// Events are refused (507) where the file comes near MaxSize or the disk near FreeFloor;
// what else is written, such as answers of the org, goes on into the part kept for it.
// Prune drops what is older than the retention, Compact gives the space back: both in
// short transactions beside the writer.
//
// # Caveats
//
// One process owns the file: a second Open fails with ErrInUse after a second. An
// I/O error of a commit leaves the store refusing writes until it is opened again,
// because the kernel may have dropped what it could not write.
package store
