package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// A Placed person is a PersonJourney as it was read, and what follows from it.
type Placed struct {
	Journey     PersonJourney
	Facts       []mapping.Fact                  // those that are new or changed
	Touchpoints map[string][]mapping.Touchpoint // that should exist, by journey
	Delete      []mapping.Fact                  // journey records that should not
}

// CommitPeople stores positions and the touchpoints that follow from them, in one
// transaction. A person of whom something changed since it was read is skipped and stays
// marked. It returns how many touchpoints have the content that was written already.
func (s *Store) CommitPeople(ctx context.Context, now time.Time, all []Placed) (unchanged int, err error) {
	err = s.update(ctx, func(tx kv.Tx) error {
		unchanged = 0
		hintPlaced(tx, all)
		for i := range all {
			n, err := commitPerson(tx, now, &all[i])
			if err != nil {
				return err
			}
			unchanged += n
		}
		return nil
	})
	return unchanged, err
}

func commitPerson(tx kv.Tx, now time.Time, p *Placed) (unchanged int, err error) {
	person := p.Journey.Person
	if !p.Journey.current(tx) {
		return 0, nil
	}
	for journey, touchpoints := range p.Touchpoints {
		for _, m := range touchpoints {
			t, err := desired(journey, m)
			if err != nil {
				return 0, err
			}
			same, err := setDesired(tx, now, t)
			if err != nil {
				return 0, err
			}
			if same {
				unchanged++
			}
		}
	}
	for i := range p.Facts {
		if err := putFact(tx, person, factJourney(&p.Facts[i]), &p.Facts[i]); err != nil {
			return 0, err
		}
	}
	for i := range p.Delete {
		f := &p.Delete[i]
		if err := errors.Join(markDelete(tx, now, f.Key), tx.Delete(bPeople, factKey(person, factJourney(f), f.Key))); err != nil {
			return 0, err
		}
	}
	for journey := range p.Journey.Marked {
		if err := tx.Delete(bPeopleDirty, groupKey(person, journey)); err != nil {
			return 0, err
		}
	}
	switch id := []byte(person); {
	case person == "" || p.Journey.Crowd != p.Journey.Followed:
		return unchanged, nil
	case p.Journey.Followed:
		return unchanged, tx.Delete(bCrowds, id)
	default:
		return unchanged, tx.Put(bCrowds, id, nil)
	}
}

// current reports whether the marks of a person are those that were read.
func (p *PersonJourney) current(tx kv.Tx) bool {
	for journey, g := range p.Marked {
		if !bytes.Equal(tx.Get(bPeopleDirty, groupKey(p.Person, journey)), generation(g)) {
			return false
		}
	}
	if !p.Followed {
		return true // each visitor is a journey of its own
	}
	n := 0
	for range tx.Scan(under(bPeopleDirty, p.Person)) {
		n++
	}
	return n == len(p.Marked)
}
