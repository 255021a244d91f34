package store

import (
	"encoding/binary"
	"time"

	"callpoint/mapping"
)

// A Journey is everything stored of one visitor, or of one call without a visitor.
type Journey struct {
	Key         string
	Visitor     string
	Generation  uint64 // of the dirty mark; 0 if the journey is clean
	Events      []mapping.Event
	Visits      []mapping.Visit
	Calls       []Call
	Touchpoints map[string]Touchpoint // by external id: of its calls, and its own

	// What retention left of the visitor: see mapping.Journey.
	PrunedBefore   time.Time
	PrunedSessions int
	PrunedForm     time.Time
	PrunedLast     *mapping.Session
}

// Journey reads one journey. An unknown one is empty.
func (s *Store) Journey(key string) (j Journey, err error) {
	err = s.view(func(tx *txn) error {
		if j, err = readJourney(tx, key); err != nil {
			return err
		}
		for key, t := range j.Touchpoints {
			if err := loadContent(tx, &t); err != nil {
				return err
			}
			j.Touchpoints[key] = t
		}
		return nil
	})
	return j, err
}

// readJourney leaves the contents of touchpoints out: resolving needs none.
func readJourney(tx *txn, key string) (Journey, error) {
	j := Journey{Key: key, Touchpoints: map[string]Touchpoint{}}
	if key != "" && key[0] != 1 {
		j.Visitor = key
	}
	if v := tx.Bucket(bDirty).Get([]byte(key)); v != nil {
		j.Generation = binary.BigEndian.Uint64(v)
	}
	var p pruned
	if _, err := get(tx.Bucket(bPruned), []byte(key), &p); err != nil {
		return j, err
	}
	j.PrunedBefore, j.PrunedSessions, j.PrunedForm, j.PrunedLast = p.Before, p.Sessions, p.Form, p.Last
	var err error
	if j.Events, err = values[mapping.Event](tx.Bucket(bEvents), prefixed(key)); err != nil {
		return j, err
	}
	if j.Visits, err = values[mapping.Visit](tx.Bucket(bVisits), prefixed(key)); err != nil {
		return j, err
	}
	err = scan(tx.Bucket(bJourneys), prefixed(key), func(k, _ []byte) (bool, error) {
		_, id := afterSep(k)
		c, ok, err := loadCall(tx, id)
		if err != nil || !ok {
			return ok, err
		}
		j.Calls = append(j.Calls, c)
		return true, j.add(tx, []byte(CallKey(c.TaskID)))
	})
	if err != nil {
		return j, err
	}
	return j, scan(tx.Bucket(bOwned), prefixed(key), func(k, _ []byte) (bool, error) {
		_, id := afterSep(k)
		return true, j.add(tx, id)
	})
}

func (j *Journey) add(tx *txn, key []byte) error {
	t, ok, err := loadTouchpoint(tx, key)
	if ok && err == nil {
		j.Touchpoints[t.Key] = t
	}
	return err
}
