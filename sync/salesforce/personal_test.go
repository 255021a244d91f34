package salesforce

import (
	"strings"
	"testing"
)

func TestImpersonal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Email: invalid email address: jane.doe+x@mail.example.com":                              "Email: invalid email address: [value]",
		"Phone (425) 555-0100 is taken":                                                          "Phone [value] is taken",
		"Phone: +1 425 555 0100, +49-30-901820.":                                                 "Phone: [value], [value].",
		"call 425-555-0100 or 4255550100":                                                        "call [value] or [value]",
		"from 203.0.113.7 and 2001:db8:0:1::7":                                                   "from [value] and [value]",
		"Subject: data value too large: Jane (sister of Jo) asked\nfor a quote (max length=255)": "Subject: data value too large: [value] (max length=255)",
		"Subject: data value too large: Jane, and no end":                                        "Subject: data value too large: [value]",
		// What tells of the org stays.
		"duplicate value found: X__c duplicates value on record with id: a0X5e00000AbCdEFGH": "duplicate value found: X__c duplicates value on record with id: a0X5e00000AbCdEFGH",
		"bad value for restricted picklist field: Paid Search":                               "bad value for restricted picklist field: Paid Search",
		"2026-11-23 12:17:00 is in the future, 2026-11-23T12:17:00.000Z too":                 "2026-11-23 12:17:00 is in the future, 2026-11-23T12:17:00.000Z too",
		"Required fields are missing: [Name]; limit 15000, 1.5 MB, row 12, line 3:15":        "Required fields are missing: [Name]; limit 15000, 1.5 MB, row 12, line 3:15",
	} {
		if got := impersonal(in); got != want {
			t.Errorf("%q\nbecame %q\nwant   %q", in, got, want)
		}
	}
}

// Neither the first message nor those behind it keep what Salesforce repeats of a record.
func TestRefusalsRepeatNoValues(t *testing.T) {
	t.Parallel()
	const said = `"message":"invalid: jane@example.com","fields":["Email"]},{"statusCode":"B","message":"data value too large: +1 425 555 0100 Jane (max length=9)"}`
	cl := &call{client: &Client{}, op: "upsert"}
	results := make([]Result, 1)
	if e := cl.fillResults([]byte(`[{"success":false,"errors":[{"statusCode":"A",`+said+`]}]`), 200, results); e != nil {
		t.Fatal(e)
	}
	text := results[0].Err.Error()
	if !strings.Contains(text, "A: invalid: [value]") || strings.Contains(text, "jane") || strings.Contains(text, "425") || strings.Contains(text, "Jane") {
		t.Error(text)
	}
}
