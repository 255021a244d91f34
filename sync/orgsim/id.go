package orgsim

import "strings"

const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	suffixDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
)

// newID hands out ids that ascend bytewise, so that "order by Id" is the order
// of insertion and a run repeats exactly.
func (o *Org) newID(prefix string) string {
	o.lastID++
	var digits [9]byte
	n := o.lastID
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[n%62]
		n /= 62
	}
	return To18(prefix + "Hs0" + string(digits[:]))
}

// To18 appends the three characters that make a 15-character id safe to compare
// without regard to case. Anything else is returned unchanged.
func To18(id string) string {
	if len(id) != 15 {
		return id
	}
	var b strings.Builder
	b.WriteString(id)
	for chunk := 0; chunk < 15; chunk += 5 {
		n := 0
		for i := range 5 {
			if c := id[chunk+i]; 'A' <= c && c <= 'Z' {
				n |= 1 << i
			}
		}
		b.WriteByte(suffixDigits[n])
	}
	return b.String()
}

// parseID accepts an id of 15 or 18 characters and returns 18.
func parseID(s string) (id string, ok bool) {
	if len(s) != 15 && len(s) != 18 {
		return "", false
	}
	for i := range len(s) {
		if strings.IndexByte(base62, s[i]) < 0 {
			return "", false
		}
	}
	id = To18(s[:15])
	// The suffix may come in any case: that is what it is for.
	return id, len(s) == 15 || strings.EqualFold(id, s)
}
