package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// A Resolved is a Journey as it was read, and the result of resolving it.
type Resolved struct {
	Journey Journey
	Result  mapping.Result
}

// Commit stores resolutions, and what the persons who called need of them, in one
// transaction. A journey that changed since it was read is skipped and stays dirty. The
// touchpoints follow from CommitPeople.
func (s *Store) Commit(ctx context.Context, now time.Time, all []Resolved) error {
	return s.update(ctx, func(tx kv.Tx) error {
		hintCommit(tx, all)
		for i := range all {
			if err := commitJourney(tx, now, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func commitJourney(tx kv.Tx, now time.Time, r *Resolved) error {
	key := []byte(r.Journey.Key)
	if !bytes.Equal(tx.Get(bDirty, key), generation(r.Journey.Generation)) {
		return nil
	}
	if err := commitCalls(tx, now, r); err != nil {
		return err
	}
	if err := commitFacts(tx, r); err != nil {
		return err
	}
	if err := dropBaseless(tx, now, r); err != nil {
		return err
	}
	if !r.Result.Wake.IsZero() {
		if err := tx.Put(bWake, append(timeKey(r.Result.Wake), key...), nil); err != nil {
			return err
		}
	}
	return clearDirty(tx, r.Journey.Key)
}

func commitCalls(tx kv.Tx, now time.Time, r *Resolved) error {
	for i, res := range r.Result.Calls {
		c := r.Journey.Calls[i]
		c.Resolution, c.Snapshot, c.ResolvedAt = res, res.Snapshot, now
		c.Resolution.Snapshot = nil
		if c.Forgotten {
			c.Snapshot, c.Resolution.Detail = nil, forgottenDetail
		}
		if err := storeCall(tx, &c); err != nil {
			return err
		}
	}
	return nil
}

// dropBaseless removes the touchpoints of calls that should have none: it schedules the
// deletion of those that Result.Retract names, drops one that was never sent, and leaves one
// that the org may hold as it is.
func dropBaseless(tx kv.Tx, now time.Time, r *Resolved) error {
	stays := map[string]bool{}
	for i, c := range r.Journey.Calls {
		if c.Forgotten || i < len(r.Result.Facts) && r.Result.Facts[i] != nil && r.Result.Facts[i].Writes {
			stays[CallKey(c.TaskID)] = true
		}
	}
	for _, k := range r.Result.Retract {
		if stays[k] {
			continue
		}
		stays[k] = true
		if err := markDelete(tx, now, k); err != nil {
			return err
		}
	}
	for k, t := range r.Journey.Touchpoints {
		if t.TaskID != "" && !stays[k] && !t.MayStand() {
			if err := dropTouchpoint(tx, &t); err != nil {
				return err
			}
		}
	}
	return nil
}

// setDesired makes t the desired record of its key. Content that was sent is not sent
// again; same reports that.
func setDesired(tx kv.Tx, now time.Time, t Touchpoint) (same bool, err error) {
	old, known, err := loadTouchpoint(tx, []byte(t.Key))
	if err != nil {
		return false, err
	}
	nobody := t.PersonField != "" && t.Who == ""
	if known && old.Hash == t.Hash && (!old.Delete || old.Nobody) {
		if old.State == Written || old.Position != t.Position { // the field map may leave positions out
			if old.Position = t.Position; old.State == Written {
				old.State = Unchanged
			}
			return old.State == Unchanged, storeTouchpoint(tx, &old)
		}
		return old.State == Unchanged, nil
	}
	t.WrittenHash, t.WrittenAt, t.RecordID, t.Sent, t.Master = old.WrittenHash, old.WrittenAt, old.RecordID, old.Sent, old.Master
	t.InFlight = old.InFlight
	if t.TaskID == "" {
		if err := tx.Put(bOwned, prefixed(t.Journey, []byte(t.Key)), nil); err != nil {
			return false, err
		}
	}
	t.State, t.NextAttempt = Pending, now
	t.Retracted, t.Shown = old.Retracted, old.shows()
	switch {
	case t.Retracted:
		t.State = Unchanged
	case nobody:
		t.orphan(now)
	case t.WrittenHash == t.Hash && !old.Delete: // it changed back to the written content before the change was sent
		t.State = Unchanged
	}
	return t.State == Unchanged, schedule(tx, &old, &t)
}

// markDelete schedules the deletion of a record that the org may hold, and drops one that
// was never sent.
func markDelete(tx kv.Tx, now time.Time, key string) error {
	old, ok, err := loadTouchpoint(tx, []byte(key))
	if err != nil || !ok || old.Delete && !old.Nobody {
		return err
	}
	if !old.MayStand() {
		return dropTouchpoint(tx, &old)
	}
	t := old
	t.Delete, t.State, t.NextAttempt, t.Attempts, t.Code, t.Message = true, Pending, now, 0, "", ""
	t.Nobody = false
	return schedule(tx, &old, &t)
}

// desired converts a touchpoint of the mapping into a record.
func desired(journey string, m mapping.Touchpoint) (t Touchpoint, err error) {
	t = Touchpoint{Key: m.Key, TaskID: m.TaskID, Journey: journey, Who: m.Who, Session: m.Session, Position: m.Position, Start: m.Start}
	values := maps.Clone(m.Values)
	for field, v := range values {
		if _, ok := v.(mapping.PersonRef); ok {
			t.PersonField = field
			delete(values, field)
		}
	}
	if t.Content, err = json.Marshal(values); err != nil {
		return t, err
	}
	b, err := json.Marshal([]string{t.PersonField, t.Who})
	if err != nil {
		return t, err
	}
	// Hash the same bytes as schema 2 did (a JSON array of content, person field and who), or
	// every stored hash would change.
	h := sha256.New()
	h.Write([]byte("["))
	h.Write(t.Content)
	h.Write([]byte(","))
	h.Write(b[1:])
	t.Hash = hex.EncodeToString(h.Sum(nil)[:16])
	return t, nil
}
