package orgsim

import (
	"testing"
	"unicode/utf8"
)

func TestLike(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"%", "", true}, {"%", "abc", true}, {"_", "", false}, {"_", "é", true},
		{"a%", "abc", true}, {"a%", "ba", false}, {"%c", "abc", true}, {"%b%", "abc", true}, {"%b", "abc", false},
		{"a_c", "abc", true}, {"a_c", "ac", false}, {"%ab%ab", "abxab", true}, {"%ab%ab", "ab", false},
		{"%aab", "aaaab", true}, {"%%", "x", true}, {`100\%`, "100%", true}, {`100\%`, "1000", false}, {`a\_`, "ab", false},
		{`a\\b`, `a\b`, true}, {`a\\%`, `a\xyz`, true}, {`%\%%`, "50% off", true}, {`%\%%`, "50 off", false},
	} {
		if got := like(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%q like %q: %v", tc.text, tc.pattern, got)
		}
	}
}

// Any text is either a query or refused with a code and a message; running it
// changes nothing and never panics.
func FuzzSOQL(f *testing.F) {
	for _, s := range []string{
		"SELECT Id FROM Task",
		"SELECT Id, Who.Type FROM Task WHERE (SystemModstamp = 2026-11-23T17:00:00Z AND Id > '00THs0000000001AAA') OR SystemModstamp > 2026-11-23T17:00:00Z ORDER BY SystemModstamp, Id LIMIT 5",
		"SELECT TaskSubtype, COUNT(Id) n FROM Task GROUP BY TaskSubtype ORDER BY COUNT(Id) DESC NULLS LAST OFFSET 1",
		`SELECT Subject FROM Task WHERE Subject LIKE '%\%_\'' AND CreatedDate >= LAST_N_DAYS:7`,
		"SELECT COUNT() FROM Task WHERE NOT (Type IN ('a', null) OR Type NOT IN ('b')) AND CallDurationInSeconds < 1.5",
		"SELECT MAX(Subject), MIN(IsDeleted), AVG(CallDurationInSeconds) FROM Task WHERE IsClosed != true",
		"select \x00 ' \\", "SELECT Id FROM Task WHERE ((((", "SELECT Task.Id FROM Task WHERE Owner.Id = '' ORDER BY Who.Name",
	} {
		f.Add(s)
	}
	org := New(Config{})
	for _, s := range []any{"a", "B", nil} {
		if _, err := org.Insert("Task", map[string]any{"Subject": s, "OwnerId": org.userID, "CallDurationInSeconds": 3}); err != nil {
			f.Fatal(err)
		}
	}
	before := len(org.Records("Task"))
	f.Fuzz(func(t *testing.T, soql string) {
		c := &call{method: "GET", version: "62.0", path: "/services/data/v62.0/query"}
		a, err := org.query(c, soql, len(soql)%2 == 0)
		switch {
		case err == nil && a.status != 200:
			t.Errorf("status %d", a.status)
		case err != nil && (err.Status != 400 || err.Code == "" || err.Message == ""):
			t.Errorf("refused as %+v", err)
		case err != nil && utf8.ValidString(soql) && !utf8.ValidString(err.Message):
			t.Errorf("message is not text: %q", err.Message)
		}
		if n := len(org.Records("Task")); n != before {
			t.Errorf("%d records, were %d", n, before)
		}
	})
}
