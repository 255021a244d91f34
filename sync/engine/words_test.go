package engine_test

import (
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

// A trigger words its refusal as it likes, with the name of a caller too: the words are
// kept for those who look a record up, and no log line and no cycle's error has them.
func TestSalesforcesWordsAreNotLogged(t *testing.T) {
	t.Parallel()
	const words = "Jane Doe asked for a quote"
	r := newTelling(t, orgsim.Config{})
	r.seen(40, nil)
	contact, lead := r.insert("Contact", map[string]any{"LastName": "Converted"}), r.lead("Converted")
	r.insert(person, map[string]any{"bizible2__Lead__c": lead, uniqueID: "mm-1"})
	if err := r.org.Update("Lead", lead, map[string]any{"IsConverted": true, "ConvertedContactId": contact}); err != nil {
		t.Fatal(err)
	}
	r.call("v0", contact)
	refused := &orgsim.RowError{Code: "INSUFFICIENT_ACCESS_OR_READONLY", Message: words}
	r.org.Fault(orgsim.Fault{Times: -1, RowError: refused})
	err := r.fails()
	for _, text := range []string{r.log.String(), err.Error()} {
		if strings.Contains(text, "Jane") || !strings.Contains(text, refused.Code) {
			t.Errorf("with the words, or without the code:\n%s", text)
		}
	}
	for _, line := range []string{"it is paused", "refuses the reason", "was not set"} {
		if !strings.Contains(r.log.String(), line) {
			t.Errorf("no line %q in the log: the test does not test it\n%s", line, r.log)
		}
	}
	if pauses, err := r.engine.Pauses(); err != nil || len(pauses) == 0 || pauses[0].Message != words {
		t.Errorf("the words are not kept: %+v, error %v", pauses, err)
	}
}
