package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

const forgottenDetail = "The visitor was erased (callpoint forget): the call counts as one without a BizibleId."

// An Erased counts what Forget found of a visitor, and lists the backups that may still
// hold it.
type Erased struct {
	Events      int          `json:"events"`
	Visits      int          `json:"visits"`
	Calls       int          `json:"calls"`
	Touchpoints int          `json:"touchpoints"`
	Backups     []BackupNote `json:"backups"`
}

// Forget erases a visitor: events, visits, the id and the session in its calls, the
// values of its touchpoints. Records in Salesforce stay there, and are not changed
// again. A salted hash keeps the visitor out from now on. Then, in further transactions,
// touchpoints of other calls are searched for the visitor, and a file is compacted, so
// that no byte of the visitor is left. If that fails or is interrupted, the next compaction
// completes it. In PostgreSQL the rows are gone from every query; their bytes stay in pages
// until these are used again, and in the write-ahead log and backups.
func (s *Store) Forget(ctx context.Context, visitor string, now time.Time) (e Erased, err error) {
	if visitor == "" || visitor[0] == 1 {
		return e, errors.New("no visitor")
	}
	// Where the file cannot be replaced the visitor's bytes would stay in it.
	if f, ok := s.db.(file); ok {
		if err := f.Replaceable(); err != nil {
			return e, fmt.Errorf("nothing was erased: %w", err)
		}
	}
	err = s.update(ctx, func(tx kv.Tx) error {
		e = Erased{}
		return forget(tx, visitor, now, &e)
	})
	if err != nil {
		return e, err
	}
	if e.Backups, err = s.Backups(); err != nil {
		return e, err
	}
	e.Backups = append(e.Backups, s.replacedStores()...)
	s.tidy.Lock()
	defer s.tidy.Unlock()
	_, _, strays, err := s.compact(ctx)
	e.Touchpoints += strays
	return e, err
}

func forget(tx kv.Tx, visitor string, now time.Time, e *Erased) error {
	var salt []byte
	if _, err := get(tx, bMeta, []byte("salt"), &salt); err != nil {
		return err
	}
	if err := put(tx, bForgotten, digest(salt, visitor), tombstone{now.UTC()}); err != nil {
		return err
	}
	if err := put(tx, bMeta, []byte("erased"), now.UTC()); err != nil {
		return err
	}
	j, err := readJourney(tx, visitor)
	if err != nil {
		return err
	}
	e.Events, e.Visits, e.Calls = len(j.Events), len(j.Visits), len(j.Calls)
	for _, b := range []kv.Bucket{bEvents, bVisits, bJourneys, bOwned} {
		if err := deleteAll(tx, under(b, visitor), nil); err != nil {
			return err
		}
	}
	wakes := func(k []byte) bool { return string(k[8:]) == visitor }
	err = errors.Join(clearDirty(tx, visitor), tx.Delete(bSteps, []byte(visitor)), tx.Delete(bPruned, []byte(visitor)), tx.Delete(bPrunedBefore, []byte(visitor)),
		deleteAll(tx, kv.Range{Bucket: bWake}, wakes))
	if err != nil {
		return err
	}
	for i := range j.Calls {
		c := &j.Calls[i]
		if err := errors.Join(dropFact(tx, c.Person, visitor, CallKey(c.TaskID)), eraseCall(tx, c, visitor)); err != nil {
			return err
		}
	}
	for _, t := range j.Touchpoints {
		if err := freeze(tx, t); err != nil {
			return err
		}
		e.Touchpoints++
	}
	return eraseMarks(tx, visitor)
}

// eraseMarks replaces the marks of persons that name the visitor by marks that do not.
func eraseMarks(tx kv.Tx, visitor string) error {
	persons := map[string]bool{}
	err := deleteAll(tx, kv.Range{Bucket: bPeopleDirty}, func(k []byte) bool {
		person, journey := afterSep(k)
		if string(journey) != visitor {
			return false
		}
		persons[string(person)] = true
		return true
	})
	for person := range persons {
		err = errors.Join(err, markPerson(tx, person, JourneyKey("", "")))
	}
	return err
}

// eraseCall keeps the Task, without the visitor.
func eraseCall(tx kv.Tx, c *Call, visitor string) error {
	c.erase()
	id := []byte(c.TaskID)
	if err := tx.Put(bJourneys, prefixed(JourneyKey("", c.TaskID), id), nil); err != nil {
		return err
	}
	return errors.Join(storeCall(tx, c), markDirty(tx, JourneyKey("", c.TaskID)))
}

// erase takes the visitor out of a call.
func (c *Call) erase() {
	c.Fields = maps.Clone(c.Fields) // the caller's map stays as it was read
	scrub(c.Fields, c.Visitor)
	reason := mapping.NoBizibleID
	if c.Deleted {
		reason = mapping.TaskDeleted
	}
	c.Visitor, c.Snapshot, c.Forgotten = "", nil, true
	c.Resolution = mapping.Resolution{TaskID: c.TaskID, Reason: reason, Detail: forgottenDetail}
}

// minFind is the length from which an id is searched for within texts, too: a shorter one
// would be found in many.
const minFind = 8

// scrub empties every text of a Task that contains the visitor's id.
func scrub(fields map[string]any, visitor string) {
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			id, _ := mapping.VisitorID(v)
			if id != "" && id == visitor || len(visitor) >= minFind && strings.Contains(strings.ToLower(v), visitor) {
				fields[name] = ""
			}
		case map[string]any:
			scrub(v, visitor)
		}
	}
}

// freeze keeps of a touchpoint only that a record exists, and drops one that was never sent.
func freeze(tx kv.Tx, t Touchpoint) error {
	if err := dropTouchpoint(tx, &t); err != nil || !t.MayStand() {
		return err
	}
	kept := Touchpoint{
		Key: t.Key, TaskID: t.TaskID, Journey: JourneyKey("", t.TaskID), Who: t.Who,
		State: Written, Frozen: true, RecordID: t.RecordID, Master: t.Master, Sent: t.Sent, WrittenAt: t.WrittenAt,
		Position: t.shows(),
	}
	if t.TaskID == "" {
		kept.Journey = JourneyKey("", t.Key)
		f := mapping.Fact{Key: t.Key, Kept: true, Position: kept.Position}
		err := errors.Join(tx.Put(bOwned, prefixed(kept.Journey, []byte(t.Key)), nil), dropFact(tx, t.Who, t.Journey, t.Key),
			putFact(tx, t.Who, kept.Journey, &f), markPerson(tx, t.Who, kept.Journey))
		if err != nil {
			return err
		}
	}
	return storeTouchpoint(tx, &kept)
}

// freezeCall freezes the touchpoint of a call that now names a forgotten visitor: nothing
// resolves it again. A deletion that is due stays due.
func freezeCall(tx kv.Tx, taskID string) error {
	t, ok, err := loadTouchpoint(tx, []byte(CallKey(taskID)))
	if err != nil || !ok || t.Frozen || t.Delete {
		return err
	}
	return freeze(tx, t)
}

// eraseStrays erases forgotten visitors from touchpoints whose Task now names another
// visitor and that have not been resolved since. No new ones can appear, because the
// visitor is blocked. It scans all touchpoints, so it runs only after an erasure; erasedAt
// is that erasure's time.
func (s *Store) eraseStrays(ctx context.Context) (erasedAt time.Time, n int, err error) {
	if erasedAt, err = s.erased(); err != nil || erasedAt.IsZero() {
		return erasedAt, 0, err
	}
	var keys []string
	err = s.EachTouchpoint(func(t Touchpoint) error {
		gone, err := s.IsForgotten(t.Journey)
		if gone {
			keys = append(keys, t.Key)
		}
		return err
	})
	if err != nil || len(keys) == 0 {
		return erasedAt, 0, err
	}
	err = s.update(ctx, func(tx kv.Tx) error {
		n = 0
		for _, key := range keys {
			t, _, err := loadTouchpoint(tx, []byte(key))
			if err != nil {
				return err
			}
			if gone, err := isForgotten(tx, t.Journey); err != nil {
				return err
			} else if !gone {
				continue // it was resolved again, or deleted, meanwhile
			}
			if err := eraseStray(tx, &t); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return erasedAt, n, err
}

// eraseStray removes the content of a touchpoint. One that is to be deleted still is.
func eraseStray(tx kv.Tx, old *Touchpoint) error {
	// If the other visitor was forgotten, too, the call is not resolved again.
	if c, _, err := loadCall(tx, []byte(old.TaskID)); err != nil || c.Forgotten || !old.MayStand() {
		return errors.Join(err, freeze(tx, *old))
	}
	t := *old
	t.Journey, t.Session, t.Content = JourneyKey("", t.TaskID), nil, []byte("{}")
	t.Hash, t.WrittenHash, t.Code, t.Message = "", "", "", ""
	if !t.Delete {
		t.State = Written
	}
	return schedule(tx, old, &t)
}

// deleteAll deletes the keys of a range that match; nil matches all.
func deleteAll(tx kv.Tx, r kv.Range, match func(k []byte) bool) error {
	var keys [][]byte
	r.Keys = true
	for k := range tx.Scan(r) {
		if match == nil || match(k) {
			keys = append(keys, bytes.Clone(k))
		}
	}
	for _, k := range keys {
		if err := tx.Delete(r.Bucket, k); err != nil {
			return err
		}
	}
	return nil
}
