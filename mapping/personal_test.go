package mapping

import "testing"

func TestWithoutPersonal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"Call", "Call"},
		{"Inbound call from +1 (206) 555-0100", "Inbound call from"},
		{"Call from (206) 555-0100 - Answered", "Call from - Answered"},
		{"2065550100", ""},
		{"206.555.0100 called", "called"},
		{"Anruf von 0171 / 123 45 67", "Anruf von"},
		{"tel:+442071838750", ""},
		{"Call +33 1 70 36 39 50, 3 min", "Call , 3 min"},
		{"Jane <jane.doe+x@mail.example.com> called", "Jane called"},
		{"mailto:jane@example.com", ""},
		{"From jürgen@müller.de", "From"},
		{"206\u2011555\u20110100", ""},
		{"206\u00a0555\u00a00100", ""},
		{"Call on 2026-11-23 12:30", "Call on 2026-11-23 12:30"},
		{"Call on 23.11.2026 from 2065550100", "Call on 23.11.2026 from"},
		{"Order 123456", "Order 123456"},
		{"Ad 12345678901234567890", "Ad 12345678901234567890"},
		{"Café @ 5 pm", "Café @ 5 pm"},
		{"٢٠٦٥٥٥٠١٠٠", ""},
		{"", ""},
	} {
		if got := withoutPersonal(test.in); got != test.want {
			t.Errorf("%q becomes %q, want %q", test.in, got, test.want)
		}
	}
}

// A Task touchpoint's content is the Subject without what looks personal; a map of one's own can take all of it.
func TestSubjectWithoutPersonal(t *testing.T) {
	t.Parallel()
	call := Call{TaskID: "00T000000000001AAA", Fields: map[string]any{"Subject": "Call from +1 206 555 0100 (jane@example.com)"}}
	for _, test := range []struct{ fields, want string }{
		{"", "Call from"},
		{"bizible2__Ad_Content__c = {Subject}", "Call from +1 206 555 0100 (jane@example.com)"},
	} {
		s := Default()
		fields, err := ParseFields([]byte(test.fields))
		if err != nil {
			t.Fatal(err)
		}
		s.Fields = fields
		if got := s.newRecord(&call, nil, nil, Position{}).touchpoint().Values["bizible2__Ad_Content__c"]; got != test.want {
			t.Errorf("%q: content %v, want %q", test.fields, got, test.want)
		}
	}
}
