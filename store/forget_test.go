package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// An erasure that a kill cuts off after its first transaction, while a touchpoint of a call
// that has come to name somebody else still says what it said, is ended by the next
// compaction, which knows the visitor by the salted hash alone.
func TestCompactEndsAnErasureThatWasCutOff(t *testing.T) {
	t.Parallel()
	const trace = "erased-content"
	d := newDesk(t)
	d.want(trace)
	d.send()
	d.must2(d.s.ApplyTasks(t.Context(), []Call{{Call: mapping.Call{TaskID: deskTask, Visitor: "b", At: goldenAt}, Hash: "2"}}, Cursor{}))
	var e Erased
	d.must(d.s.update(t.Context(), func(tx kv.Tx) error { return forget(tx, "a", d.now, &e) }))
	killed, err := os.ReadFile(d.s.Path())
	d.must(err)
	if !bytes.Contains(killed, []byte(trace)) {
		t.Fatal("the file does not hold the content before: the test tests nothing")
	}
	path := filepath.Join(t.TempDir(), "killed.db")
	d.must(os.WriteFile(path, killed, 0o600))
	d.s = openAt(t, path, Options{})
	pending, err := d.s.ErasurePending()
	if pays, errPays := d.s.CompactionPays(); !pending || !pays || err != nil || errPays != nil {
		t.Fatalf("after the kill: pending %v, compaction pays %v, errors %v %v", pending, pays, err, errPays)
	}
	if _, _, err := d.s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || bytes.Contains(after, []byte(trace)) {
		t.Error("the file still holds the visitor's content", err)
	}
	if pending, err := d.s.ErasurePending(); pending || err != nil {
		t.Errorf("after the compaction: pending %v, error %v", pending, err)
	}
	if _, tp, err := d.s.Call(deskTask); err != nil || tp == nil || tp.RecordID != "a00" || tp.Journey == "a" {
		t.Errorf("the touchpoint of the record that stands: %+v, error %v", tp, err)
	}
}

// A record of a visitor who was erased, whose call came to name somebody else, has no content
// here until it is resolved anew: it is not compared with the org, and not sent as it is. If
// the call then names an erased visitor, nothing resolves it anew, and it is frozen.
func TestErasedStray(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("content")
	d.send()
	apply := func(visitor, hash string) {
		d.must2(d.s.ApplyTasks(t.Context(), []Call{{Call: mapping.Call{TaskID: deskTask, Visitor: visitor, At: goldenAt}, Hash: hash}}, Cursor{}))
	}
	apply("b", "2")
	_, err := d.s.Forget(t.Context(), "a", d.now)
	d.must(err)
	d.must(d.s.Resend(t.Context(), []string{CallKey(deskTask)}, d.now, true))
	if due, err := d.s.Due(d.now, 10); err != nil || len(due) > 0 {
		t.Errorf("due without content: %+v, error %v", due, err)
	}
	apply("a", "3")
	_, tp, err := d.s.Call(deskTask)
	if err != nil || tp == nil || !tp.Frozen || tp.RecordID != "a00" {
		t.Errorf("the record of a call that names an erased visitor: %+v, error %v", tp, err)
	}
}
