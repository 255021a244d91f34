package salesforce_test

import (
	"fmt"
	"testing"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// persons returns a batch of n persons whose keys begin with a letter.
func persons(letter string, n int) []salesforce.Batch {
	b := salesforce.Batch{Object: orgsim.Person, ExternalID: key}
	for i := range n {
		b.Records = append(b.Records, row(map[string]any{key: fmt.Sprintf("%s%d", letter, i), "Name": fmt.Sprintf("A person with a name %d", i)}))
	}
	return []salesforce.Batch{b}
}

// Large bodies are compressed, small ones are not.
func TestRequestsAreCompressed(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	before := org.Requests()
	if _, err := c.Upsert(t.Context(), persons("a", 200)); err != nil {
		t.Fatal(err)
	}
	after := org.Requests()
	wire, inflated := after.BodyBytes-before.BodyBytes, after.BodyInflated-before.BodyInflated
	if after.GzipBodies-before.GzipBodies != 1 || inflated < 3*wire {
		t.Errorf("%d compressed bodies, %d bytes on the wire for %d", after.GzipBodies-before.GzipBodies, wire, inflated)
	}
	if _, err := c.Upsert(t.Context(), persons("b", 1)); err != nil {
		t.Fatal(err)
	}
	if n := org.Requests().GzipBodies - after.GzipBodies; n != 0 {
		t.Errorf("a small body was compressed")
	}
	if n := len(org.Records(orgsim.Person)); n != 201 {
		t.Errorf("%d persons, want 201", n)
	}
}

// An org that refuses compressed bodies gets them uncompressed, from the first refusal on.
func TestCompressionIsSwitchedOff(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	org.RefuseGzip(true)
	c := connect(t, url, nil)
	for _, letter := range []string{"a", "b"} {
		results, err := c.Upsert(t.Context(), persons(letter, 200))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results[0] {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	if n := org.Requests().GzipRefused; n != 1 {
		t.Errorf("%d compressed requests were refused, want 1", n)
	}
	if n := len(org.Records(orgsim.Person)); n != 400 {
		t.Errorf("%d persons, want 400", n)
	}
}
