package salesforce

import (
	"testing"
	"time"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":             `''`,
		"plain":        `'plain'`,
		"O'Neil":       `'O\'Neil'`,
		`back\slash`:   `'back\\slash'`,
		`\'`:           `'\\\''`,
		"a\nb\r\t":     `'a\nb\r\t'`,
		"' OR Id != '": `'\' OR Id != \''`,
		"日本":           `'日本'`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestDateTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 17, 5, 999999999, time.FixedZone("", -8*3600))
	if got := DateTime(at); got != "2026-11-23T20:17:05Z" {
		t.Errorf("got %s", got)
	}
}

func TestID18(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a01M00000062mPg":    "a01M00000062mPgIAI", // a published pair
		"00DHs0000000001":    "00DHs0000000001MAA",
		"a01M00000062mPgIAI": "a01M00000062mPgIAI",
		"":                   "",
	} {
		if got := ID18(in); got != want {
			t.Errorf("ID18(%s) = %s, want %s", in, got, want)
		}
	}
}
