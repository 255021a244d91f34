package orgsim_test

import (
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

// A reason is written by updating Tasks by their ids: each row stands alone,
// and only a saved row moves its stamp.
func TestTaskUpdateRows(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.org.Schema("Task").AddField(orgsim.Field{Name: "Why__c", Type: "string", Length: 40})
	w.org.Schema("Task").LockField("Type")
	saved, locked, deleted, purged := w.insert("Task", m{"Subject": "a"}), w.insert("Task", m{"Subject": "b"}),
		w.insert("Task", m{"Subject": "c"}), w.insert("Task", m{"Subject": "d"})
	if err := w.org.Delete("Task", deleted); err != nil {
		t.Fatal(err)
	}
	if err := w.org.Purge("Task", purged); err != nil {
		t.Fatal(err)
	}
	before, _ := w.org.Get("Task", saved)
	update := func(records ...m) answer {
		return w.sendJSON("PATCH", data+"/composite/sobjects", rows("Task", records...))
	}
	w.clock.advance(time.Minute)
	var rs []result
	w.into(update(m{"id": saved, "Why__c": "x"}, m{"id": locked, "Type": "Call"}, m{"id": deleted, "Why__c": "x"},
		m{"id": purged, "Why__c": "x"}), 200, &rs)
	if got := codes(rs); got != "ok INVALID_FIELD_FOR_INSERT_UPDATE ENTITY_IS_DELETED INVALID_CROSS_REFERENCE_KEY" {
		t.Errorf("rows: %s", got)
	}
	rec, _ := w.org.Get("Task", saved)
	if rec["Why__c"] != "x" || rec["Subject"] != "a" || rec["LastModifiedDate"] == before["LastModifiedDate"] || rec["CreatedDate"] != before["CreatedDate"] {
		t.Errorf("saved: %v", rec)
	}
	if rec, _ := w.org.Get("Task", locked); rec["Type"] != nil || rec["LastModifiedDate"] != before["LastModifiedDate"] {
		t.Errorf("a refused row changed: %v", rec)
	}

	// An unknown field refuses the request: no row of it is saved.
	w.refused(update(m{"id": saved, "Why__c": "y"}, m{"id": locked, "Nope__c": "y"}), 400, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Task")
	w.fault("op=update,row=UNABLE_TO_LOCK_ROW,times=1")
	w.into(update(m{"id": saved, "Why__c": "z"}), 200, &rs)
	if rec, _ := w.org.Get("Task", saved); codes(rs) != "UNABLE_TO_LOCK_ROW" || rec["Why__c"] != "x" {
		t.Errorf("row lock: %s, %v", codes(rs), rec["Why__c"])
	}
}
