package store

import (
	"bytes"
	"context"
	"strings"
	"time"

	"callpoint/store/kv"
)

// The person that a call counts for is the Lead or Contact of its Task (Call.Person). A
// converted Lead is replaced by its Contact. A Task that names nobody may lead to a person
// through its WhatId: such calls wait in the bucket unnamed until somebody is found.

const leadPrefix = "00Q"

// setPerson changes the person that a call counts for, and keeps the index callers. The
// caller stores the call.
func setPerson(tx kv.Tx, c *Call, person string) error {
	id := []byte(c.TaskID)
	if c.Person != "" && c.Person != person {
		if err := tx.Delete(bCallers, prefixed(c.Person, id)); err != nil {
			return err
		}
	}
	if c.Person = person; person == "" {
		return nil
	}
	return tx.Put(bCallers, prefixed(person, id), nil)
}

// setLookAt changes when the person of a call is looked up through its WhatId; zero: never.
func setLookAt(tx kv.Tx, c *Call, at time.Time) error {
	id := c.TaskID
	if !c.LookAt.IsZero() {
		if err := tx.Delete(bUnnamed, append(timeKey(c.LookAt), id...)); err != nil {
			return err
		}
	}
	if c.LookAt = at; at.IsZero() {
		return nil
	}
	return tx.Put(bUnnamed, append(timeKey(at), id...), nil)
}

// nameCall sets the person of a Task that was read. old is what was known of it. A person
// that was found through the WhatId stays while the Task names the same record, and any
// earlier person until another record was looked up: its touchpoint is not deleted before.
func nameCall(tx kv.Tx, c, old *Call) error {
	who, what := c.WhoID(), c.WhatID()
	look, found := time.Time{}, false
	if who != "" {
		var err error
		if who, err = leadOrContact(tx, who); err != nil {
			return err
		}
		found = true
	} else if what != "" {
		who = old.Person
		found = who != "" && old.WhoID() == "" && old.WhatID() == what && old.LookAt.IsZero()
	}
	if !found && what != "" && !c.Deleted {
		look = c.ReadAt
	}
	c.Person, c.LookAt = old.Person, old.LookAt
	if err := setLookAt(tx, c, look); err != nil {
		return err
	}
	return setPerson(tx, c, who)
}

// leadOrContact returns the Contact of a Lead that is known to be converted, else who. It
// notes a Lead that is new to the store, so that Salesforce is asked about it.
func leadOrContact(tx kv.Tx, who string) (string, error) {
	if !strings.HasPrefix(who, leadPrefix) {
		return who, nil
	}
	var contact string
	if ok, err := get(tx, bConversions, []byte(who), &contact); ok || err != nil {
		return contact, err
	}
	if hasAny(tx, under(bCallers, who)) {
		return who, nil
	}
	return who, tx.Put(bUnasked, []byte(who), nil)
}

// Unnamed returns up to limit calls whose person is to be looked up by now, except those
// that skip names.
func (s *Store) Unnamed(now time.Time, limit int, skip func(taskID string) bool) (calls []Call, err error) {
	err = s.view(func(tx kv.Tx) error {
		calls = nil
		for k := range tx.Scan(upTo(bUnnamed, now)) {
			if len(calls) == limit {
				break
			}
			if skip(string(k[8:])) {
				continue
			}
			call, ok, err := loadCall(tx, k[8:])
			if err != nil {
				return err
			}
			if ok {
				calls = append(calls, call)
			}
		}
		return nil
	})
	return calls, err
}

// A Named call is the result of a look-up: its person, or when to look again.
type Named struct {
	TaskID string
	What   string // the WhatId that was looked up
	Person string
	Next   time.Time
}

// NameCalls stores the results of look-ups and marks the journeys of calls that have a
// person now. A call that was read again meanwhile and names another record is left alone.
func (s *Store) NameCalls(ctx context.Context, all []Named) (named int, err error) {
	err = s.update(ctx, func(tx kv.Tx) error {
		named = 0
		if kv.Remote(tx) {
			var ids []string
			for _, n := range all {
				ids = append(ids, n.TaskID)
			}
			hintKeys(tx, bCalls, ids)
		}
		for _, n := range all {
			c, ok, err := loadCall(tx, []byte(n.TaskID))
			if err != nil {
				return err
			}
			if !ok || c.LookAt.IsZero() || c.WhatID() != n.What || n.Person == "" && c.Person == "" && c.LookAt.Equal(n.Next) {
				continue
			}
			if n.Person != "" {
				named++
				err = setLookAt(tx, &c, time.Time{})
				if err == nil {
					err = changePerson(tx, &c, n.Person)
				}
			} else if err = setLookAt(tx, &c, n.Next); err == nil && c.Person != "" {
				err = changePerson(tx, &c, "") // the record that it names now leads to nobody
			} else if err == nil {
				err = storeCall(tx, &c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return named, err
}

// changePerson stores a call under another person and marks its journey.
func changePerson(tx kv.Tx, c *Call, person string) error {
	if c.Person != person {
		if err := dropFacts(tx, c); err != nil {
			return err
		}
	}
	if err := setPerson(tx, c, person); err != nil {
		return err
	}
	if err := storeCall(tx, c); err != nil {
		return err
	}
	return markDirty(tx, JourneyKey(c.Visitor, c.TaskID))
}

// Unasked returns up to limit Leads of which it is not known whether they are converted.
func (s *Store) Unasked(limit int) (leads []string, err error) {
	err = s.view(func(tx kv.Tx) error {
		leads = nil
		for k := range tx.Scan(kv.Range{Bucket: bUnasked, Limit: limit}) {
			leads = append(leads, string(k))
		}
		return nil
	})
	return leads, err
}

// IsUnasked returns those of the Leads and Contacts that Unasked would return.
func (s *Store) IsUnasked(whos []string) (leads []string, err error) {
	err = s.view(func(tx kv.Tx) error {
		leads = nil
		hintKeys(tx, bUnasked, whos)
		for _, who := range whos {
			if tx.Get(bUnasked, []byte(who)) != nil {
				leads = append(leads, who)
			}
		}
		return nil
	})
	return leads, err
}

// PutConversions stores Salesforce's answer about Leads: asked are those it was asked for,
// contacts gives the Contact of each converted one. The calls of a converted Lead count for
// its Contact from now on, and their journeys are marked. It returns the number of calls
// that changed.
func (s *Store) PutConversions(ctx context.Context, asked []string, contacts map[string]string) (changed int, err error) {
	if len(asked)+len(contacts) == 0 {
		return 0, nil
	}
	err = s.update(ctx, func(tx kv.Tx) error {
		changed = 0
		for _, lead := range asked {
			if err := tx.Delete(bUnasked, []byte(lead)); err != nil {
				return err
			}
		}
		for lead, contact := range contacts {
			n, err := convert(tx, lead, contact)
			if err != nil {
				return err
			}
			changed += n
		}
		return nil
	})
	return changed, err
}

// convert stores one conversion. A Lead without a call is left out: its first call asks.
func convert(tx kv.Tx, lead, contact string) (changed int, err error) {
	var tasks [][]byte
	for k := range tx.Scan(under(bCallers, lead)) {
		_, id := afterSep(k)
		tasks = append(tasks, bytes.Clone(id))
	}
	if len(tasks) == 0 {
		return 0, nil
	}
	if err := put(tx, bConversions, []byte(lead), contact); err != nil {
		return 0, err
	}
	for _, id := range tasks {
		c, ok, err := loadCall(tx, id)
		if err != nil {
			return changed, err
		}
		if ok && c.Person == lead {
			if err := changePerson(tx, &c, contact); err != nil {
				return changed, err
			}
			changed++
		}
	}
	return changed, moveKept(tx, lead, contact)
}

// contactOf returns the Contact of a Lead that is known to be converted, else who.
func contactOf(tx kv.Tx, who string) (string, error) {
	contact := who
	if who == "" {
		return who, nil
	}
	_, err := get(tx, bConversions, []byte(who), &contact)
	return contact, err
}

// Callers visits the calls that count for a Lead or Contact.
func (s *Store) Callers(person string, fn func(Call) error) error {
	return s.view(func(tx kv.Tx) error {
		hintRows(tx, under(bCallers, person), func(k []byte) []kv.Range {
			_, id := afterSep(k)
			return []kv.Range{kv.Key(bCalls, id)}
		})
		for k := range tx.Scan(under(bCallers, person)) {
			_, id := afterSep(k)
			c, ok, err := loadCall(tx, id)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := fn(c); err != nil {
				return err
			}
		}
		return nil
	})
}
