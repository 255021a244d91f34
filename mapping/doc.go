// Package mapping holds the rules of the domain: how events become sessions, which
// session a call joins, which channel a session came by, and what a touchpoint says.
// It is pure: no I/O, no clock, no logger; the same input gives the same output.
package mapping
