package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// State is how far a touchpoint is on its way to Salesforce.
type State string

const (
	Pending   State = "pending"   // to be sent
	Written   State = "written"   // Salesforce has this content
	Unchanged State = "unchanged" // resolved again, with the same content: not sent
	Retrying  State = "retrying"  // an attempt failed for a while
	Parked    State = "parked"    // Salesforce refuses the content
	NoPerson  State = "no_person" // there is no person for it to hang from, so no record either
)

// CallKey is the external id of a call's touchpoint.
func CallKey(taskID string) string { return "callpoint_" + taskID }

// A Touchpoint is one record of the org: its desired content, and what is known of the
// content that was written. It is the stored form of a mapping.Touchpoint.
type Touchpoint struct {
	Key     string `json:"key"`
	TaskID  string `json:"task_id,omitempty"`
	Journey string `json:"journey"`
	Who     string `json:"who,omitempty"`
	// Content is the record's fields without its key and the link to its person, as the JSON
	// that is sent. Most methods of the store leave it out.
	Content json.RawMessage `json:"-"`
	// PersonField is the field for the link to the person of Who; empty for none.
	PersonField string `json:"person_field,omitempty"`
	Hash        string `json:"hash"`
	// Frozen: its visitor was forgotten. The record in Salesforce stays as it is, and its
	// content is not kept here.
	Frozen bool `json:"frozen,omitempty"`
	Delete bool `json:"delete,omitempty"` // its basis is gone: to be deleted
	// Nobody: there is no person, because the Task names none or because the org has none and
	// callpoint may not create one. Such a touchpoint has no record; one that exists is deleted.
	Nobody bool `json:"nobody,omitempty"`
	// Since is when a touchpoint began to wait for a person.
	Since time.Time `json:"since,omitzero"`
	// Session is the basis of a journey record; nil for a call's.
	Session *mapping.Session `json:"session,omitempty"`
	// Position is that of the desired content, and of a frozen record what it may show. Shown
	// is what the record may show while the desired content is not written.
	Position mapping.Position `json:"position,omitzero"`
	Shown    mapping.Position `json:"shown,omitzero"`
	// Start is that of the session that the desired content shows; zero: none.
	Start time.Time `json:"start,omitzero"`

	// Retracted: its record was taken back. Nothing is written until Restore.
	Retracted bool `json:"retracted,omitempty"`

	State       State     `json:"state"`
	WrittenHash string    `json:"written_hash,omitempty"`
	WrittenAt   time.Time `json:"written_at,omitzero"`
	RecordID    string    `json:"record_id,omitempty"` // the record's id in Salesforce
	Sent        bool      `json:"sent,omitempty"`      // a request left: the org may hold it
	// Master is the record id of the person that the record hangs from. It cannot change while
	// the record exists. Empty: not known, or there is no record.
	Master string `json:"master,omitempty"`
	// InFlight is a request whose result is not recorded, in a store that instances share.
	InFlight    *inFlight `json:"in_flight,omitempty"`
	Attempts    int       `json:"attempts,omitempty"` // since the content changed
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	Code        string    `json:"code,omitempty"` // Salesforce's last refusal
	Message     string    `json:"message,omitempty"`
}

// MayStand reports whether the org may hold a record of this key.
func (t *Touchpoint) MayStand() bool { return t.Sent || t.RecordID != "" }

// shows returns the position that the org's record has, or may have.
func (t *Touchpoint) shows() mapping.Position {
	switch {
	case !t.MayStand():
		return mapping.Position{}
	case t.State == Written || t.State == Unchanged:
		return t.Position
	case t.WrittenHash == "": // nobody knows which content arrived
		return t.Shown.Or(t.Position)
	}
	return t.Shown
}

// unplaced reports whether a record exists whose person is not known.
func (t *Touchpoint) unplaced() bool {
	return t.RecordID != "" && t.Master == "" && t.PersonField != "" && !t.Frozen && !t.Delete
}

// orphan makes a touchpoint wait for a person. A record that may exist is deleted first: it
// would credit somebody else.
func (t *Touchpoint) orphan(now time.Time) {
	t.Nobody, t.Delete, t.State, t.NextAttempt, t.Since = true, t.MayStand(), NoPerson, now, now
	t.Attempts, t.Code, t.Message = 0, "", ""
	switch {
	case t.Delete:
		t.State = Pending
	case t.Who == "":
		t.NextAttempt = never // a change of whom the call counts for resolves it again
	}
}

// never is the time of the next look-up where nobody is to be looked up.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// adopt makes a touchpoint due that waited for a person.
func (t *Touchpoint) adopt(now time.Time) {
	t.Nobody, t.Delete, t.State, t.NextAttempt, t.Since, t.Attempts = false, false, Pending, now, time.Time{}, 0
}

// vanish records that the org has no record of this key.
func (t *Touchpoint) vanish() { t.RecordID, t.Master, t.Sent, t.WrittenHash = "", "", false, "" }

// queued reports whether the touchpoint is to be sent.
func (t *Touchpoint) queued() bool { return t.State == Pending || t.State == Retrying }

// Values decodes Content, which was encoded here and has passed its checksum.
func (t *Touchpoint) Values() (values map[string]any) {
	_ = json.Unmarshal(t.Content, &values)
	return values
}

// loadTouchpoint reads a touchpoint without its content, except that one of schema 2
// includes it.
func loadTouchpoint(tx kv.Tx, key []byte) (t Touchpoint, ok bool, err error) {
	env := tx.Get(bTouchpoints, key)
	if env == nil {
		return t, false, nil
	}
	if t, err = openTouchpoint(key, env); err != nil {
		return t, true, err
	}
	if sending := tx.Get(bSending, key); sending != nil {
		t.Sent, t.WrittenHash = true, ""
		t.InFlight = readMark(sending)
	}
	return t, true, nil
}

func openTouchpoint(key, env []byte) (t Touchpoint, err error) {
	if len(env) == 0 || env[0] != versionJSON {
		return t, open(key, env, &t)
	}
	var whole struct {
		Touchpoint
		Values json.RawMessage `json:"values"`
	}
	err = open(key, env, &whole)
	whole.Content = whole.Values
	return whole.Touchpoint, err
}

// loadContent completes a touchpoint that was loaded.
func loadContent(tx kv.Tx, t *Touchpoint) error {
	if t.Content != nil || t.Frozen {
		return nil
	}
	key := []byte(t.Key)
	env := tx.Get(bContents, key)
	if env == nil {
		return fmt.Errorf("%w: touchpoint %s has no content", ErrDamaged, key)
	}
	payload, err := verify(key, env)
	t.Content = bytes.Clone(payload)
	return err
}

// readTouchpoint reads a touchpoint with its content.
func readTouchpoint(tx kv.Tx, key []byte) (t Touchpoint, ok bool, err error) {
	if t, ok, err = loadTouchpoint(tx, key); ok && err == nil {
		err = loadContent(tx, &t)
	}
	return t, ok, err
}

// storeTouchpoint writes a touchpoint, and its content if that is loaded: sending changes
// the state twice and the content never.
func storeTouchpoint(tx kv.Tx, t *Touchpoint) error {
	key := []byte(t.Key)
	if t.Content != nil {
		if err := tx.Put(bContents, key, envelope(versionJSON, key, t.Content)); err != nil {
			return err
		}
	}
	// The record itself now carries Sent, so the separate mark can go.
	if err := tx.Delete(bSending, key); err != nil {
		return err
	}
	return put(tx, bTouchpoints, key, t)
}

// schedule stores t in place of old and keeps the due and parked indexes in step.
func schedule(tx kv.Tx, old, t *Touchpoint) error {
	if err := reindex(tx, old, t); err != nil {
		return err
	}
	return storeTouchpoint(tx, t)
}

func reindex(tx kv.Tx, old, t *Touchpoint) error {
	if err := unschedule(tx, old); err != nil {
		return err
	}
	if old.unplaced() && !t.unplaced() {
		if err := tx.Delete(bUnplaced, []byte(t.Key)); err != nil {
			return err
		}
	}
	if t.unplaced() {
		if err := tx.Put(bUnplaced, []byte(t.Key), nil); err != nil {
			return err
		}
	}
	switch t.State {
	case Pending, Retrying:
		return tx.Put(bDue, append(timeKey(t.NextAttempt), t.Key...), nil)
	case NoPerson:
		return tx.Put(bPersonless, append(timeKey(t.NextAttempt), t.Key...), nil)
	case Parked:
		return tx.Put(bParked, []byte(t.Key), timeKey(t.NextAttempt))
	}
	t.NextAttempt = time.Time{}
	return nil
}

func unschedule(tx kv.Tx, t *Touchpoint) error {
	if t.Key == "" {
		return nil
	}
	switch t.State {
	case NoPerson:
		return tx.Delete(bPersonless, append(timeKey(t.NextAttempt), t.Key...))
	case Parked:
		return tx.Delete(bParked, []byte(t.Key))
	}
	return tx.Delete(bDue, append(timeKey(t.NextAttempt), t.Key...))
}

func dropTouchpoint(tx kv.Tx, t *Touchpoint) error {
	if err := unschedule(tx, t); err != nil {
		return err
	}
	if err := tx.Delete(bOwned, prefixed(t.Journey, []byte(t.Key))); err != nil {
		return err
	}
	for _, b := range []kv.Bucket{bContents, bSending, bUnplaced, bTouchpoints} {
		if err := tx.Delete(b, []byte(t.Key)); err != nil {
			return err
		}
	}
	return nil
}
