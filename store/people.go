package store

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// Positions are worked out per person, after the calls of each visitor were matched. Commit
// stores what persons need of a visitor: its steps, and a fact of every call, under the
// person that the call counts for. It marks the person, one mark for each visitor whose
// facts changed, and CommitPeople removes the marks. Calls of nobody are kept likewise,
// under an empty person, and each visitor is a journey of its own there.

// journeyPrefix begins the external ids of journey records. Those of calls go on with the
// row's id, which sorts before it.
const journeyPrefix = "callpoint_s_"

// groupKey names the facts of one person and one visitor: what is marked together.
func groupKey(person, journey string) []byte { return prefixed(person, []byte(journey)) }

func factKey(person, journey, key string) []byte {
	return append(prefixed(person, []byte(journey), []byte{0}), key...)
}

// splitFact gives the person, the journey and the external id of a fact's key.
func splitFact(k []byte) (person, journey, key string) {
	p, rest := afterSep(k)
	j, id := afterSep(rest)
	return string(p), string(j), string(id)
}

const (
	factCounts = 1 << iota
	factWrites
	factKept
	factFirst
	factLead
	factConverted
	factSession
	factForm
)

// factRow is a fact as it is stored; its key names person, journey and record. Times are in
// milliseconds.
type factRow struct {
	_           struct{} `cbor:",toarray"`
	Flags       uint8
	At          int64
	Session     string
	Start, Form int64
}

// putFact stores a fact under its person and journey.
func putFact(tx kv.Tx, person, journey string, f *mapping.Fact) error {
	r := factRow{At: f.At.UnixMilli()}
	for _, bit := range []struct {
		flag uint8
		set  bool
	}{{factCounts, f.Counts}, {factWrites, f.Writes}, {factKept, f.Kept}, {factFirst, f.Position.First},
		{factLead, f.Position.Lead}, {factConverted, f.Position.Converted}, {factSession, f.Session != nil},
		{factForm, f.Session != nil && !f.Session.Form.IsZero()}} {
		if bit.set {
			r.Flags |= bit.flag
		}
	}
	if x := f.Session; x != nil {
		r.Session, r.Start, r.Form = x.ID, x.At.UnixMilli(), x.Form.UnixMilli()
	}
	return put(tx, bPeople, factKey(person, journey, f.Key), r)
}

func openFact(k, env []byte) (f mapping.Fact, err error) {
	var r factRow
	if err := open(k, env, &r); err != nil {
		return f, err
	}
	_, journey, key := splitFact(k)
	f.Key, f.Visitor = key, visitorOf(journey)
	if !strings.HasPrefix(key, journeyPrefix) {
		f.TaskID = strings.TrimPrefix(key, CallKey(""))
	}
	is := func(flag uint8) bool { return r.Flags&flag != 0 }
	f.Counts, f.Writes, f.Kept, f.At = is(factCounts), is(factWrites), is(factKept), time.UnixMilli(r.At).UTC()
	f.Position = mapping.Position{First: is(factFirst), Lead: is(factLead), Converted: is(factConverted)}
	if is(factSession) {
		f.Session = &mapping.Step{ID: r.Session, At: time.UnixMilli(r.Start).UTC()}
		if is(factForm) {
			f.Session.Form = time.UnixMilli(r.Form).UTC()
		}
	}
	return f, nil
}

// visitorOf returns the BizibleId of a journey; empty for one call without an id.
func visitorOf(journey string) string {
	if journey != "" && journey[0] == 1 {
		return ""
	}
	return journey
}

// dropFact removes what a person knows of a record, and marks the person.
func dropFact(tx kv.Tx, person, journey, key string) error {
	return errors.Join(tx.Delete(bPeople, factKey(person, journey, key)), markPerson(tx, person, journey))
}

// dropFacts removes what persons know of a call as it was stored, because it has come to
// count for another person, or another visitor.
func dropFacts(tx kv.Tx, old *Call) error {
	journey, key := JourneyKey(old.Visitor, old.TaskID), CallKey(old.TaskID)
	if err := dropFact(tx, old.Person, journey, key); err != nil || !old.Forgotten {
		return err
	}
	t, ok, err := loadTouchpoint(tx, []byte(key))
	if err != nil || !ok {
		return err
	}
	person, err := contactOf(tx, t.Who) // an erased visitor's record stays with its person
	if err != nil || person == old.Person {
		return err
	}
	return dropFact(tx, person, journey, key)
}

// moveKept gives the records of erased visitors that were written for a Lead to the Contact
// that it was converted to.
func moveKept(tx kv.Tx, lead, contact string) error {
	var kept []mapping.Fact
	for k, v := range tx.Scan(under(bPeople, lead)) {
		f, err := openFact(k, v)
		if err != nil {
			return err
		}
		if f.Kept && f.Visitor == "" {
			kept = append(kept, f)
		}
	}
	for i := range kept {
		f := &kept[i]
		journey := factJourney(f)
		t, ok, err := loadTouchpoint(tx, []byte(f.Key))
		if err != nil {
			return err
		}
		if t.Who = contact; ok && t.Frozen {
			err = storeTouchpoint(tx, &t)
		}
		err = errors.Join(err, dropFact(tx, lead, journey, f.Key), putFact(tx, contact, journey, f), markPerson(tx, contact, journey))
		if err != nil {
			return err
		}
	}
	return nil
}

// markPerson notes that the positions of a person are to be worked out again, because of
// one of the journeys of visitors that make up the person's.
func markPerson(tx kv.Tx, person, journey string) error {
	g, err := nextGeneration(tx)
	if err != nil {
		return err
	}
	return tx.Put(bPeopleDirty, groupKey(person, journey), g)
}

// visitorRow is what persons need of a visitor who called.
type visitorRow struct {
	Steps        []mapping.Step `json:"steps"`
	PrunedBefore time.Time      `json:"pruned_before,omitzero"`
}

// commitFacts stores what the persons who called need of a journey, and marks them.
func commitFacts(tx kv.Tx, r *Resolved) error {
	j := &r.Journey
	if j.Visitor != "" && len(r.Result.Steps) > 0 && len(j.Calls) > 0 {
		if err := put(tx, bSteps, []byte(j.Visitor), visitorRow{r.Result.Steps, j.PrunedBefore}); err != nil {
			return err
		}
	} else if j.Visitor != "" {
		if err := tx.Delete(bSteps, []byte(j.Visitor)); err != nil {
			return err
		}
	}
	marked := map[string]bool{}
	for i := range j.Calls {
		c := &j.Calls[i]
		person, f, err := factOf(tx, r, i)
		if err != nil {
			return err
		}
		if f != nil {
			err = putFact(tx, person, j.Key, f)
		} else {
			err = tx.Delete(bPeople, factKey(person, j.Key, CallKey(c.TaskID)))
		}
		if err == nil && !marked[person] {
			marked[person] = true
			err = markPerson(tx, person, j.Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// factOf returns what a call means to a person; nil if nothing. The record of an erased
// visitor stays with the person that it was written for.
func factOf(tx kv.Tx, r *Resolved, i int) (person string, f *mapping.Fact, err error) {
	c := &r.Journey.Calls[i]
	t, known := r.Journey.Touchpoints[CallKey(c.TaskID)]
	if c.Forgotten {
		if !known || !t.Frozen {
			return c.Person, nil, nil
		}
		person, err = contactOf(tx, t.Who)
		return person, &mapping.Fact{Key: t.Key, TaskID: c.TaskID, At: c.At, Counts: true, Kept: true, Position: t.Position}, err
	}
	if i >= len(r.Result.Facts) || r.Result.Facts[i] == nil {
		return c.Person, nil, nil
	}
	fact := *r.Result.Facts[i]
	fact.Position.Converted = fact.Counts // as most are in the end: fewer are written again
	if fact.Kept {
		fact.Position = t.Position
	}
	return c.Person, &fact, nil
}

// A PersonJourney is what the positions of a person follow from, and why they are to be
// worked out again.
type PersonJourney struct {
	mapping.PersonJourney
	// Marked holds the journeys of visitors in which something changed, and the generations of
	// their marks.
	Marked map[string]uint64
	// Crowd: the person had more BizibleIds than are followed when it was worked out last. Then
	// only what is marked was read.
	Crowd bool
}

// IsMarked reports whether something changed in the journey that a fact belongs to.
func (p *PersonJourney) IsMarked(f *mapping.Fact) bool {
	_, ok := p.Marked[factJourney(f)]
	return ok
}

// factJourney is the journey under which a fact is stored.
func factJourney(f *mapping.Fact) string {
	if f.Visitor != "" || f.TaskID != "" {
		return JourneyKey(f.Visitor, f.TaskID)
	}
	return JourneyKey("", f.Key) // a journey record of an erased visitor
}

// NextPeople returns up to limit persons whose positions are to be worked out again.
func (s *Store) NextPeople(limit int) (all []PersonJourney, err error) {
	err = s.view(func(tx kv.Tx) error {
		all = nil
		var persons []string
		for k := range tx.Scan(kv.Range{Bucket: bPeopleDirty, Heads: true, Limit: limit, Keys: true}) {
			id, _ := afterSep(k)
			persons = append(persons, string(id))
		}
		hintPeople(tx, persons, limit)
		for _, person := range persons {
			p, err := readPerson(tx, person, limit)
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return nil
	})
	return all, err
}

// Person reads what the positions of a person follow from, whether something changed or not,
// and the person's BizibleIds. Of a Lead that was converted it reads the Contact. Of somebody
// who is not followed it reads only the first of the BizibleIds.
func (s *Store) Person(who string) (p PersonJourney, ids []string, err error) {
	err = s.view(func(tx kv.Tx) error {
		person, err := contactOf(tx, who)
		if err != nil {
			return err
		}
		p = PersonJourney{PersonJourney: mapping.PersonJourney{Person: person}}
		ids = visitorsOf(tx, person, mapping.MaxVisitors+1)
		if p.Followed = person != "" && len(ids) <= mapping.MaxVisitors; p.Followed {
			return p.readFacts(tx, under(bPeople, person))
		}
		return nil
	})
	return p, ids, err
}

// readPerson reads a person with its marks: everything, or of a crowd what is marked.
func readPerson(tx kv.Tx, person string, limit int) (p PersonJourney, err error) {
	p = PersonJourney{PersonJourney: mapping.PersonJourney{Person: person}, Marked: map[string]uint64{}}
	p.Crowd = person == "" || tx.Get(bCrowds, []byte(person)) != nil
	marks := under(bPeopleDirty, person)
	apart := person == "" || p.Crowd && len(visitorsOf(tx, person, mapping.MaxVisitors+1)) > mapping.MaxVisitors
	if apart {
		marks.Limit = limit
	}
	for k, v := range tx.Scan(marks) {
		_, journey := afterSep(k)
		if p.Marked[string(journey)], err = readGeneration(v); err != nil {
			return p, err
		}
	}
	if !apart {
		err = p.readFacts(tx, under(bPeople, person))
		p.Followed = len(p.IDs()) <= mapping.MaxVisitors
		return p, err
	}
	for _, journey := range slices.Sorted(maps.Keys(p.Marked)) {
		if err := p.readFacts(tx, kv.Prefix(bPeople, factKey(person, journey, ""))); err != nil {
			return p, err
		}
	}
	return p, nil
}

// visitorsOf returns the BizibleIds of the calls of a person, in order, up to limit.
func visitorsOf(tx kv.Tx, person string, limit int) (ids []string) {
	all := under(bPeople, person)
	all.Keys = true
	for len(ids) < limit {
		k, _ := kv.First(tx, all)
		if k == nil {
			return ids
		}
		_, journey, key := splitFact(k)
		// The facts of calls come before those of journey records.
		if visitorOf(journey) != "" && !strings.HasPrefix(key, journeyPrefix) {
			ids = append(ids, journey)
		}
		all.From = pastID(groupKey(person, journey))
	}
	return ids
}

// readFacts adds the facts of a range, and the steps of their visitors.
func (p *PersonJourney) readFacts(tx kv.Tx, r kv.Range) error {
	first := len(p.Facts)
	for k, v := range tx.Scan(r) {
		f, err := openFact(k, v)
		if err != nil {
			return err
		}
		p.Facts = append(p.Facts, f)
	}
	var visitors []string
	for i := first; i < len(p.Facts); i++ { // they are sorted by visitor
		// A journey record alone makes nobody's visitor: the person may have lost the call.
		if v := p.Facts[i].Visitor; v != "" && p.Facts[i].TaskID != "" && (len(visitors) == 0 || visitors[len(visitors)-1] != v) {
			visitors = append(visitors, v)
		}
	}
	rows := make([]kv.Range, len(visitors))
	for i, v := range visitors {
		rows[i] = kv.Key(bSteps, []byte(v))
	}
	tx.Hint(rows...)
	for _, v := range visitors {
		var row visitorRow
		if ok, err := get(tx, bSteps, []byte(v), &row); err != nil {
			return err
		} else if ok {
			p.Visitors = append(p.Visitors, mapping.VisitorSteps{Visitor: v, Steps: row.Steps, PrunedBefore: row.PrunedBefore})
		}
	}
	return nil
}

// Crowds returns the persons that are not followed because they have too many BizibleIds,
// up to limit.
func (s *Store) Crowds(limit int) (persons []string, err error) {
	err = s.view(func(tx kv.Tx) error {
		persons = nil
		for k := range tx.Scan(kv.Range{Bucket: bCrowds, Limit: limit, Keys: true}) {
			persons = append(persons, string(k))
		}
		return nil
	})
	return persons, err
}

// CallsOf reads calls by their Task ids; unknown ones are absent.
func (s *Store) CallsOf(taskIDs []string) (calls map[string]Call, err error) {
	err = s.view(func(tx kv.Tx) error {
		calls = make(map[string]Call, len(taskIDs))
		rows := make([]kv.Range, len(taskIDs))
		for i, id := range taskIDs {
			rows[i] = kv.Key(bCalls, []byte(id))
		}
		tx.Hint(rows...)
		for _, id := range taskIDs {
			c, ok, err := loadCall(tx, []byte(id))
			if err != nil {
				return err
			}
			if ok {
				calls[id] = c
			}
		}
		return nil
	})
	return calls, err
}
