package salesforce

import "regexp"

// Salesforce's messages repeat values of the record, and go into logs and the store.
// STRING_TOO_LONG repeats the whole of one.
var (
	tooLong  = regexp.MustCompile(`(?s)(data value too large: ).*?( \(max length=\d+\)|$)`)
	personal = regexp.MustCompile(`[^\s@"'<>()\[\],;:=]+@[^\s@"'<>()\[\],;:=]+` + // an e-mail address
		`|\b\d{1,3}(\.\d{1,3}){3}\b|\b[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{0,4}){3,7}\b` + // an IP address
		`|(\+\d|\(\d{2,4}\)|\b\d{2,4}[ .-])[\d ().-]{6,}\d\b|\b\d{10,12}\b`) // a phone number
	date = regexp.MustCompile(`^\d{4}-\d\d-\d\d\b`)
)

// impersonal takes out of a message what could say who somebody is.
func impersonal(message string) string {
	message = tooLong.ReplaceAllString(message, "${1}[value]${2}")
	return personal.ReplaceAllStringFunc(message, func(found string) string {
		if date.MatchString(found) {
			return found
		}
		return "[value]"
	})
}
