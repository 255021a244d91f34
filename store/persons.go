package store

import (
	"context"
	"time"

	"callpoint/store/kv"
)

// A Person is what is known of the Bizible Person of a Lead or Contact.
type Person struct {
	Who      string `json:"who"`       // the Lead's or Contact's id
	RecordID string `json:"record_id"` // empty: the org has none yet
	// Key is the external id of the record; empty: not known.
	Key string `json:"key,omitempty"`
	// Code and Message are the org's refusal of a person that was to be created.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Persons reads what is known of these Leads and Contacts; unknown ones are absent.
func (s *Store) Persons(whos []string) (known map[string]Person, err error) {
	known = map[string]Person{}
	err = s.view(func(tx kv.Tx) error {
		hintKeys(tx, bPersons, whos)
		for _, who := range whos {
			var p Person
			ok, err := get(tx, bPersons, []byte(who), &p)
			if err != nil {
				return err
			}
			if ok {
				known[who] = p
			}
		}
		return nil
	})
	return known, err
}

// PutPersons remembers persons.
func (s *Store) PutPersons(ctx context.Context, all []Person) error {
	if len(all) == 0 {
		return nil
	}
	return s.update(ctx, func(tx kv.Tx) error {
		for _, p := range all {
			if err := put(tx, bPersons, []byte(p.Who), p); err != nil {
				return err
			}
		}
		return nil
	})
}

// ForgetPersons drops what is known of these Leads and Contacts, because it turned out wrong.
func (s *Store) ForgetPersons(ctx context.Context, whos []string) error {
	if len(whos) == 0 {
		return nil
	}
	return s.update(ctx, func(tx kv.Tx) error {
		for _, who := range whos {
			if err := tx.Delete(bPersons, []byte(who)); err != nil {
				return err
			}
		}
		return nil
	})
}

// LosePersons drops the persons with these record ids, which the org has no more, and makes
// the touchpoints due whose records hung from them: Salesforce deleted those as well. It
// reads every touchpoint. It returns how many became due.
func (s *Store) LosePersons(ctx context.Context, now time.Time, ids map[string]bool) (lost int, err error) {
	var keys, whos []string
	err = s.view(func(tx kv.Tx) error {
		whos = nil
		for k, v := range tx.Scan(kv.Range{Bucket: bPersons}) {
			var p Person
			if err := open(k, v, &p); err != nil {
				return err
			}
			if ids[p.RecordID] {
				whos = append(whos, p.Who)
			}
		}
		return nil
	})
	if err == nil {
		err = s.ForgetPersons(ctx, whos)
	}
	if err == nil {
		err = s.EachTouchpoint(func(t Touchpoint) error {
			if ids[t.Master] && !t.Frozen {
				keys = append(keys, t.Key)
			}
			return nil
		})
	}
	if err != nil {
		return 0, err
	}
	return len(keys), s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if !ids[t.Master] {
			return false
		}
		t.vanish()
		if t.State == Written || t.State == Unchanged && !t.Retracted {
			t.State, t.NextAttempt = Pending, now
		}
		return true
	})
}

// Orphan makes touchpoints that are due wait until the org has a person for them.
func (s *Store) Orphan(ctx context.Context, now time.Time, keys []string) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if !t.queued() || t.Delete {
			return false
		}
		t.orphan(now)
		return true
	})
}

// Personless returns up to limit touchpoints whose Lead or Contact had no person in the org
// and for which it is to be asked again by now.
func (s *Store) Personless(now time.Time, limit int) (all []Touchpoint, err error) {
	err = s.view(func(tx kv.Tx) error {
		all = nil
		r := upTo(bPersonless, now)
		r.Limit = limit
		hintRows(tx, r, func(k []byte) []kv.Range { return touchpointKeys(k[8:], false) })
		for k := range tx.Scan(r) {
			t, ok, err := loadTouchpoint(tx, k[8:])
			if err != nil {
				return err
			}
			if ok {
				all = append(all, t)
			}
		}
		return nil
	})
	return all, err
}

// Adopt makes touchpoints due that waited for a person: the org has one now.
func (s *Store) Adopt(ctx context.Context, now time.Time, keys []string) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if t.State != NoPerson || t.Who == "" {
			return false
		}
		t.adopt(now)
		return true
	})
}

// LookLater sets when the person of touchpoints that wait for one is looked for next.
func (s *Store) LookLater(ctx context.Context, next time.Time, keys []string) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if t.State != NoPerson || t.Who == "" {
			return false
		}
		t.NextAttempt = next
		return true
	})
}

// A Place is where a record was found: its id, and the person that it hangs from.
type Place struct {
	Key, RecordID, Master string
	Wrong                 bool // it does not hang from the person that it should
}

// PutPlaces stores where records were found. An empty RecordID: there is none. Touchpoints
// whose record is missing or hangs from the wrong person become due.
func (s *Store) PutPlaces(ctx context.Context, now time.Time, all []Place) error {
	byKey := map[string]Place{}
	keys := make([]string, len(all))
	for i, p := range all {
		byKey[p.Key], keys[i] = p, p.Key
	}
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		p := byKey[t.Key]
		if t.Frozen || t.Delete || t.Retracted {
			return false
		}
		if p.RecordID == "" {
			t.vanish()
		} else {
			t.RecordID, t.Master = p.RecordID, p.Master
		}
		if (p.RecordID == "" || p.Wrong) && (t.State == Written || t.State == Unchanged) {
			t.State, t.NextAttempt, t.WrittenHash = Pending, now, ""
		}
		return true
	})
}

// Unplaced returns up to limit touchpoints whose record hangs from a person that is not known.
func (s *Store) Unplaced(limit int) (all []Touchpoint, err error) {
	err = s.view(func(tx kv.Tx) error {
		all = nil
		r := kv.Range{Bucket: bUnplaced, Limit: limit}
		hintRows(tx, r, func(k []byte) []kv.Range { return touchpointKeys(k, false) })
		for k := range tx.Scan(r) {
			t, ok, err := loadTouchpoint(tx, k)
			if err != nil {
				return err
			}
			if ok && t.unplaced() {
				all = append(all, t)
			}
		}
		return nil
	})
	return all, err
}

// EachPerson visits the persons that are remembered, in short transactions.
func (s *Store) EachPerson(fn func([]Person) error) error {
	var from []byte
	for {
		var page []Person
		err := s.view(func(tx kv.Tx) error {
			page = nil
			for k, v := range tx.Scan(kv.Range{Bucket: bPersons, From: from, Limit: 1000}) {
				var p Person
				if err := open(k, v, &p); err != nil {
					return err
				}
				page = append(page, p)
			}
			return nil
		})
		if err != nil || len(page) == 0 {
			return err
		}
		from = append([]byte(page[len(page)-1].Who), 0)
		if err := fn(page); err != nil {
			return err
		}
	}
}

// ChangePersons remembers other persons for Leads and Contacts, and makes the touchpoints due
// whose records hang from the earlier ones: they are moved. It reads every touchpoint.
func (s *Store) ChangePersons(ctx context.Context, now time.Time, changed map[string]Person) error {
	if len(changed) == 0 {
		return nil
	}
	all := make([]Person, 0, len(changed))
	for _, p := range changed {
		all = append(all, p)
	}
	if err := s.PutPersons(ctx, all); err != nil {
		return err
	}
	misplaced := func(t *Touchpoint) bool {
		p, ok := changed[t.Who]
		return ok && t.RecordID != "" && t.Master != p.RecordID && !t.Frozen && !t.Retracted && (t.State == Written || t.State == Unchanged)
	}
	var keys []string
	err := s.EachTouchpoint(func(t Touchpoint) error {
		if misplaced(&t) {
			keys = append(keys, t.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if !misplaced(t) {
			return false
		}
		t.State, t.NextAttempt, t.WrittenHash = Pending, now, ""
		return true
	})
}
