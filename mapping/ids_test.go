package mapping

import (
	"strings"
	"testing"
)

func TestVisitorID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want string
		ok       bool
	}{
		{" DDE5687119CC4928fbf94393ed9f5c35\n", "dde5687119cc4928fbf94393ed9f5c35", true},
		{"x", "x", true},
		{"", "", false},
		{" \t ", "", false},
		{"b" + strings.Repeat("a", 254), "b" + strings.Repeat("a", 254), true},
		{strings.Repeat("a", 256), "", false},
		{"a\x00b", "", false},
		{"a\u0085b", "", false},
		{"a\xffb", "", false},
	} {
		if got, ok := VisitorID(test.in); ok != test.ok || ok && got != test.want {
			t.Errorf("VisitorID(%q) = %q, %v; want %q, %v", test.in, got, ok, test.want, test.ok)
		}
	}
}

// The longest letter in lower case must not lift an id over the limit.
func TestVisitorIDGrows(t *testing.T) {
	t.Parallel()
	if got, ok := VisitorID(strings.Repeat("Ⱥ", 127)); ok && len(got) > maxVisitorID {
		t.Errorf("id of %d bytes accepted", len(got))
	}
}

func TestID18(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"001A0000006Vm9r":    "001A0000006Vm9rIAC",
		"00QABCDEabcde12":    "00QABCDEabcde122HA",
		"003000000000001":    "003000000000001AAA",
		"003000000000001AAA": "003000000000001AAA",
		"":                   "",
		"short":              "short",
	} {
		if got := ID18(in); got != want {
			t.Errorf("ID18(%q) = %q, want %q", in, got, want)
		}
	}
}
