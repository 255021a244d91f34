package store

import (
	"errors"

	"callpoint/store/kv"
)

// Conditions that callers distinguish with errors.Is. After ErrBusy and ErrFull nothing of
// the write was kept.
var (
	ErrInUse    = kv.ErrInUse
	ErrClosed   = kv.ErrClosed
	ErrDamaged  = kv.ErrDamaged
	ErrBusy     = kv.ErrBusy // too many writes are queued; the write can be sent again
	ErrFull     = kv.ErrFull // there is no space for the write
	ErrNotFound = errors.New("not found")
	ErrOtherOrg = errors.New("store belongs to another org")
)
