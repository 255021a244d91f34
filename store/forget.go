package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"time"

	"callpoint/mapping"
)

const forgottenDetail = "The visitor was erased (callpoint forget): the call counts as one without a BizibleId."

// Erased says what Forget found of a visitor, and which backups may still hold it.
type Erased struct {
	Events      int          `json:"events"`
	Visits      int          `json:"visits"`
	Calls       int          `json:"calls"`
	Touchpoints int          `json:"touchpoints"`
	Backups     []BackupNote `json:"backups"`
}

// Forget erases a visitor: events, visits, the id and the session in its calls, the
// values of its touchpoints. What stands in Salesforce stays there, and is not touched
// again. A salted hash keeps the visitor out from now on. Then the file is compacted, so
// that no byte of it is left. If that fails the error says so; that, and what a kill cut
// off, is done by the next compaction.
func (s *Store) Forget(ctx context.Context, visitor string, now time.Time) (e Erased, err error) {
	if visitor == "" || visitor[0] == 1 {
		return e, errors.New("no visitor")
	}
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // it never fails
	err = s.update(ctx, func(tx *txn) error {
		e = Erased{}
		return forget(tx, visitor, salt, now, &e)
	})
	if err != nil {
		return e, err
	}
	if e.Backups, err = s.Backups(); err != nil {
		return e, err
	}
	s.copying.Lock()
	defer s.copying.Unlock()
	mark, strays, err := s.eraseStrays(ctx)
	if err != nil {
		return e, err
	}
	e.Touchpoints += strays
	_, _, err = s.compact(ctx, mark)
	return e, err
}

func forget(tx *txn, visitor string, salt []byte, now time.Time, e *Erased) error {
	meta := tx.Bucket(bMeta)
	var known []byte
	if ok, err := get(meta, []byte("salt"), &known); err != nil {
		return err
	} else if !ok {
		if err := put(meta, []byte("salt"), salt); err != nil {
			return err
		}
		known = salt
	}
	if err := put(tx.Bucket(bForgotten), digest(known, visitor), tombstone{now.UTC()}); err != nil {
		return err
	}
	if err := put(meta, []byte("erased"), now.UTC()); err != nil {
		return err
	}
	j, err := readJourney(tx, visitor)
	if err != nil {
		return err
	}
	e.Events, e.Visits, e.Calls = len(j.Events), len(j.Visits), len(j.Calls)
	for _, b := range [][]byte{bEvents, bVisits, bJourneys, bOwned} {
		if err := deletePrefix(tx.Bucket(b), prefixed(visitor)); err != nil {
			return err
		}
	}
	for _, b := range [][]byte{bDirty, bPruned} {
		if err := tx.Bucket(b).Delete([]byte(visitor)); err != nil {
			return err
		}
	}
	if err := deleteWakes(tx, visitor); err != nil {
		return err
	}
	for i := range j.Calls {
		if err := eraseCall(tx, &j.Calls[i], visitor); err != nil {
			return err
		}
	}
	for _, t := range j.Touchpoints {
		if err := freeze(tx, t); err != nil {
			return err
		}
		e.Touchpoints++
	}
	return nil
}

// eraseCall keeps the Task, without the visitor.
func eraseCall(tx *txn, c *Call, visitor string) error {
	c.erase()
	id := []byte(c.TaskID)
	if err := tx.Bucket(bJourneys).Put(prefixed(JourneyKey("", c.TaskID), id), nil); err != nil {
		return err
	}
	return storeCall(tx, c)
}

// erase takes the visitor out of a call.
func (c *Call) erase() {
	c.Fields = maps.Clone(c.Fields) // the caller's stays as it was read
	scrub(c.Fields, c.Visitor)
	reason := mapping.NoBizibleID
	if c.Deleted {
		reason = mapping.TaskDeleted
	}
	c.Visitor, c.Snapshot, c.Forgotten = "", nil, true
	c.Resolution = mapping.Resolution{TaskID: c.TaskID, Reason: reason, Detail: forgottenDetail}
}

// minFind is the length from which an id is looked for within texts, too: a shorter one
// would be found in any.
const minFind = 8

// scrub empties every text of a Task that names the visitor, whatever field it stands in.
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

// freeze keeps of a touchpoint that a record stands, and drops one that was never sent.
func freeze(tx *txn, t Touchpoint) error {
	if err := dropTouchpoint(tx, &t); err != nil || !t.MayStand() {
		return err
	}
	kept := Touchpoint{
		Key: t.Key, TaskID: t.TaskID, Journey: JourneyKey("", t.TaskID), Who: t.Who,
		State: Written, Frozen: true, RecordID: t.RecordID, Master: t.Master, Sent: t.Sent, WrittenAt: t.WrittenAt,
	}
	if t.TaskID == "" {
		kept.Journey = JourneyKey("", t.Key)
		if err := tx.Bucket(bOwned).Put(prefixed(kept.Journey, []byte(t.Key)), nil); err != nil {
			return err
		}
	}
	return storeTouchpoint(tx, &kept)
}

// freezeCall freezes the touchpoint of a call that came to name a forgotten visitor: nothing
// resolves it anew. A deletion that is due stays due.
func freezeCall(tx *txn, taskID string) error {
	t, ok, err := loadTouchpoint(tx, []byte(CallKey(taskID)))
	if err != nil || !ok || t.Frozen || t.Delete {
		return err
	}
	return freeze(tx, t)
}

// eraseStrays erases forgotten visitors from touchpoints whose Task has come to name
// somebody else: they say what they said until they are resolved anew, or deleted. No more
// of them can come up by now. It looks at every touchpoint, as compaction does, unless
// there was no erasure since the last one; mark is what that sees to.
func (s *Store) eraseStrays(ctx context.Context) (mark time.Time, n int, err error) {
	if mark, err = s.erased(); err != nil || mark.IsZero() {
		return mark, 0, err
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
		return mark, 0, err
	}
	err = s.update(ctx, func(tx *txn) error {
		n = 0
		for _, key := range keys {
			t, _, err := loadTouchpoint(tx, []byte(key))
			if err != nil {
				return err
			}
			if gone, err := isForgotten(tx, t.Journey); err != nil {
				return err
			} else if !gone {
				continue // resolved anew, or deleted, in between
			}
			if err := eraseStray(tx, &t); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return mark, n, err
}

// eraseStray leaves nothing of a touchpoint to send. One that is to be deleted still is.
func eraseStray(tx *txn, old *Touchpoint) error {
	// Where the other one was forgotten, too, nothing is resolved anew.
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

func deletePrefix(b *bucket, prefix []byte) error {
	var keys [][]byte
	err := scan(b, prefix, func(k, _ []byte) (bool, error) {
		keys = append(keys, bytes.Clone(k))
		return true, nil
	})
	for _, k := range keys {
		if err == nil {
			err = b.Delete(k)
		}
	}
	return err
}

func deleteWakes(tx *txn, journey string) error {
	b := tx.Bucket(bWake)
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if string(k[8:]) == journey {
			keys = append(keys, bytes.Clone(k))
		}
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
