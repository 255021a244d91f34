package store

import (
	"maps"
	"slices"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
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

	// The summary of what retention dropped: see mapping.Journey.
	PrunedBefore   time.Time
	PrunedSessions int
	PrunedSteps    []mapping.Step
	PrunedLast     *mapping.Session
}

// Journey reads one journey. An unknown one is empty.
func (s *Store) Journey(key string) (j Journey, err error) {
	err = s.view(func(tx kv.Tx) error {
		hintJourneys(tx, []string{key})
		if j, err = readJourney(tx, key); err != nil {
			return err
		}
		if kv.Remote(tx) {
			hintKeys(tx, bContents, slices.Collect(maps.Keys(j.Touchpoints)))
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
func readJourney(tx kv.Tx, key string) (Journey, error) {
	j := Journey{Key: key, Touchpoints: map[string]Touchpoint{}}
	if key != "" && key[0] != 1 {
		j.Visitor = key
	}
	var err error
	if v := tx.Get(bDirty, []byte(key)); v != nil {
		if j.Generation, err = readGeneration(v); err != nil {
			return j, err
		}
	}
	var p pruned
	if _, err := get(tx, bPruned, []byte(key), &p); err != nil {
		return j, err
	}
	j.PrunedBefore, j.PrunedSessions, j.PrunedSteps, j.PrunedLast = p.Before, p.Sessions, p.steps(), p.Last
	if j.Events, err = values[mapping.Event](tx, under(bEvents, key)); err != nil {
		return j, err
	}
	if j.Visits, err = values[mapping.Visit](tx, under(bVisits, key)); err != nil {
		return j, err
	}
	for k := range tx.Scan(under(bJourneys, key)) {
		_, id := afterSep(k)
		c, ok, err := loadCall(tx, id)
		if err != nil {
			return j, err
		}
		if !ok {
			break
		}
		j.Calls = append(j.Calls, c)
		if err := j.add(tx, []byte(CallKey(c.TaskID))); err != nil {
			return j, err
		}
	}
	for k := range tx.Scan(under(bOwned, key)) {
		_, id := afterSep(k)
		if err := j.add(tx, id); err != nil {
			return j, err
		}
	}
	return j, nil
}

func (j *Journey) add(tx kv.Tx, key []byte) error {
	t, ok, err := loadTouchpoint(tx, key)
	if ok && err == nil {
		j.Touchpoints[t.Key] = t
	}
	return err
}
