package store

import (
	"context"
)

// A Person is what is known of the Bizible Person of a Lead or Contact.
type Person struct {
	Who      string `json:"who"`       // the Lead's or Contact's id
	RecordID string `json:"record_id"` // empty: the org has none yet
	// Code and Message are the org's refusal of a person that was to be created.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Persons reads what is known of these Leads and Contacts; unknown ones are absent.
func (s *Store) Persons(whos []string) (known map[string]Person, err error) {
	known = map[string]Person{}
	err = s.view(func(tx *txn) error {
		for _, who := range whos {
			var p Person
			ok, err := get(tx.Bucket(bPersons), []byte(who), &p)
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
	return s.update(ctx, func(tx *txn) error {
		for _, p := range all {
			if err := put(tx.Bucket(bPersons), []byte(p.Who), p); err != nil {
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
	return s.update(ctx, func(tx *txn) error {
		for _, who := range whos {
			if err := tx.Bucket(bPersons).Delete([]byte(who)); err != nil {
				return err
			}
		}
		return nil
	})
}
