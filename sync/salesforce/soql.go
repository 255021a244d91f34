package salesforce

import (
	"strings"
	"time"
)

var quoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`, "\f", `\f`)

// Quote returns s as a SOQL string literal.
func Quote(s string) string { return "'" + quoter.Replace(s) + "'" }

// DateTime returns t as a SOQL datetime literal: UTC and whole seconds, which
// is all that Salesforce compares.
func DateTime(t time.Time) string {
	return t.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05Z")
}

// ID18 gives the 18-character form of a 15-character id, whose last three
// characters say which of the others are capitals. Anything else comes back
// as it is.
func ID18(id string) string {
	if len(id) != 15 {
		return id
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	out := []byte(id)
	for chunk := 0; chunk < 15; chunk += 5 {
		bits := 0
		for i := range 5 {
			if c := id[chunk+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out = append(out, digits[bits])
	}
	return string(out)
}
