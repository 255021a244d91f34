package mapping

import (
	"regexp"
	"strings"
)

var (
	mailAddress = regexp.MustCompile(`(?i)(?:mailto:)?[^\s<>()\[\]{},;:"'/?&=@]+@[\p{L}\p{N}.-]+\.[\p{L}\p{N}-]{2,}`)
	// digitRun is a number with everything that people write between its digits.
	digitRun = regexp.MustCompile(`(?i)(?:tel:[ +]*)?\+?\(?[\p{Nd}](?:[\s\p{Zs}\p{Pd}()./]*[\p{Nd}])+`)
	dateTime = regexp.MustCompile(`\b(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))\b`)
	empties  = regexp.MustCompile(`<\s*>|\(\s*\)|\[\s*\]|"\s*"`)
)

// Phone numbers have 7 to 15 digits (E.164).
const (
	minPhoneDigits = 7
	maxPhoneDigits = 15
)

// withoutPersonal removes e-mail addresses and phone numbers from a text that people wrote,
// such as a Task's Subject. Dates stay, and so do shorter and longer numbers. Names of people
// cannot be recognized and stay as well.
func withoutPersonal(s string) string {
	plain := mailAddress.ReplaceAllString(s, "")
	plain = digitRun.ReplaceAllStringFunc(plain, func(run string) string {
		var kept strings.Builder
		rest := run
		for {
			at := dateTime.FindStringIndex(rest)
			if at == nil {
				kept.WriteString(withoutPhone(rest))
				return kept.String()
			}
			kept.WriteString(withoutPhone(rest[:at[0]]) + rest[at[0]:at[1]])
			rest = rest[at[1]:]
		}
	})
	if plain == s {
		return s
	}
	plain = empties.ReplaceAllString(plain, "")
	return strings.Trim(strings.Join(strings.Fields(plain), " "), " -:,;/")
}

// withoutPhone returns what is left of a run of digits: nothing if it can be a phone number.
func withoutPhone(run string) string {
	digits := 0
	for _, c := range run {
		if isDigit(c) {
			digits++
		}
	}
	if digits < minPhoneDigits || digits > maxPhoneDigits {
		return run
	}
	return " "
}
