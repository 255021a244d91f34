package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"

	"github.com/google/go-cmp/cmp"
)

// What a value says comes back as it was, whichever version of the envelope it is in.
func TestValuesComeBack(t *testing.T) {
	t.Parallel()
	type value struct {
		At     time.Time      `json:"at"`
		Never  time.Time      `json:"never,omitzero"`
		Text   string         `json:"text"`
		Fields map[string]any `json:"fields"`
		Salt   []byte         `json:"salt"`
	}
	want := value{
		At: time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC), Text: "not UTF-8: \xff, \x00, é",
		Fields: map[string]any{"text": "a", "number": 1.5, "whole": 3.0, "none": nil, "flag": true, "inner": map[string]any{"list": []any{"x"}}},
		Salt:   []byte{0, 255},
	}
	key := []byte("k")
	b, err := seal(key, want)
	if err != nil {
		t.Fatal(err)
	}
	var got value
	if err := open(key, b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-put +got)\n%s", diff)
	}
	if err := wellFormed(key, b); err != nil {
		t.Error(err)
	}
	var old value
	if err := open(key, envelope(versionJSON, key, []byte(`{"at":"2026-11-23T12:00:00Z","text":"a","fields":{"n":1}}`)), &old); err != nil {
		t.Error(err)
	}
	if old.Text != "a" || old.Fields["n"] != 1.0 || !old.At.Equal(goldenAt) {
		t.Errorf("of schema 2: %+v", old)
	}
	for name, b := range map[string][]byte{
		"no payload": b[:4], "version": append([]byte{9}, b[1:]...), "another's": envelope(versionCBOR, []byte("other"), b[5:]),
		"cut": envelope(versionCBOR, key, b[5:len(b)-1]), "JSON cut": envelope(versionJSON, key, []byte(`{"at":`)),
	} {
		if err := open(key, b, &got); err == nil {
			t.Errorf("%s: opened", name)
		}
		if err := wellFormed(key, b); err == nil {
			t.Errorf("%s: well formed", name)
		}
	}
}

// A writes is a transaction that records to which buckets it writes.
type writes struct {
	kv.Tx
	buckets []kv.Bucket
}

func (w *writes) Put(b kv.Bucket, key, value []byte) error {
	w.buckets = append(w.buckets, b)
	return w.Tx.Put(b, key, value)
}

// Sending a touchpoint writes its state alone: its content is most of it, and stays.
func TestSendingLeavesContentAlone(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	fillGolden(t, s)
	due, err := s.Due(goldenAt, 1)
	if err != nil || len(due) != 1 || len(due[0].Content) == 0 {
		t.Fatalf("%+v, %v", due, err)
	}
	var w writes
	err = s.update(t.Context(), func(tx kv.Tx) error {
		w = writes{Tx: tx}
		return finish(&w, goldenAt, Outcome{Key: due[0].Key, Hash: due[0].Hash, State: Written, RecordID: "a00000000000009AAA"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(w.buckets, bTouchpoints) || slices.Contains(w.buckets, bContents) {
		t.Errorf("wrote to the buckets %v: the state is to be written, and the content is not", w.buckets)
	}
	if _, tp, err := s.Call(due[0].TaskID); err != nil || tp.State != Written || string(tp.Content) != string(due[0].Content) {
		t.Errorf("%+v, %v", tp, err)
	}
}

// The session that a call was matched with is stored once, and read in both its places.
func TestSharedSessionIsStoredOnce(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	session := &mapping.Session{ID: "s", LandingPage: "https://www.example.com/landing", StartedAt: goldenAt}
	for name, c := range map[string]Call{
		"shared": {Resolution: mapping.Resolution{Session: session}, Call: mapping.Call{Snapshot: &mapping.Snapshot{Session: session}}},
		"two":    {Resolution: mapping.Resolution{Session: session}, Call: mapping.Call{Snapshot: &mapping.Snapshot{Session: &mapping.Session{ID: "t"}}}},
		"none":   {Resolution: mapping.Resolution{Session: session}, Call: mapping.Call{Snapshot: &mapping.Snapshot{}}},
	} {
		c.TaskID = name
		err := s.update(t.Context(), func(tx kv.Tx) error {
			if err := storeCall(tx, &c); err != nil {
				return err
			}
			if n := bytes.Count(tx.Get(bCalls, []byte(name)), []byte("https://www.example.com/landing")); n != 1 {
				t.Errorf("%s: the landing page is stored %d times", name, n)
			}
			got, _, err := loadCall(tx, []byte(name))
			if diff := cmp.Diff(c, got); diff != "" {
				t.Errorf("%s: (-stored +loaded)\n%s", name, diff)
			}
			return errors.Join(err, tx.Delete(bCalls, []byte(name)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
