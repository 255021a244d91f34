package salesforce

import (
	"regexp"
	"strings"
)

// Salesforce's messages repeat values of the record, and go into logs and the store.
// STRING_TOO_LONG repeats the whole of one.
var (
	tooLong  = regexp.MustCompile(`(?s)(data value too large: ).*?( \(max length=\d+\)|$)`)
	personal = regexp.MustCompile(`[^\s@"'<>()\[\],;:=]+@[^\s@"'<>()\[\],;:=]+` + // an e-mail address
		`|\b\d{1,3}(\.\d{1,3}){3}\b|\b[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{0,4}){3,7}\b` + // an IP address
		`|(\+\d|\(\d{2,4}\)|\b\d{2,4}[ .-])[\d ().-]{6,}\d\b|\b\d{10,12}\b`) // a phone number
	date = regexp.MustCompile(`^\d{4}-\d\d-\d\d\b`)
)

// errorID is Salesforce's reference to an internal error, which its support asks for. It
// looks like phone numbers.
var errorID = regexp.MustCompile(`(?i)error ?id[^:0-9]{0,60}:?\s*-?\d+-\d+( \(-?\d+\))?`)

// impersonal removes from a message what could identify a person.
func impersonal(message string) string {
	message = tooLong.ReplaceAllString(message, "${1}[value]${2}")
	var b strings.Builder
	for {
		at := errorID.FindStringIndex(message)
		if at == nil {
			return b.String() + withoutPersons(message)
		}
		b.WriteString(withoutPersons(message[:at[0]]) + message[at[0]:at[1]])
		message = message[at[1]:]
	}
}

func withoutPersons(message string) string {
	return personal.ReplaceAllStringFunc(message, func(found string) string {
		if date.MatchString(found) {
			return found
		}
		return "[value]"
	})
}
