package mapping

import "strings"

// A Position is the position of a touchpoint in the journey of its person.
type Position struct {
	First     bool `json:"first,omitempty"`     // the first touch
	Lead      bool `json:"lead,omitempty"`      // the first conversion: Adobe's lead creation
	Converted bool `json:"converted,omitempty"` // a conversion, first or later
}

// String is the touchpoint position: "FT", "LC", "PostLC" or "FT, LC".
func (p Position) String() string {
	var parts []string
	if p.First {
		parts = append(parts, "FT")
	}
	switch {
	case p.Lead:
		parts = append(parts, "LC")
	case p.Converted:
		parts = append(parts, "PostLC")
	}
	return strings.Join(parts, ", ")
}

// Or returns what at least one of two positions is.
func (p Position) Or(q Position) Position {
	return Position{p.First || q.First, p.Lead || q.Lead, p.Converted || q.Converted}
}

func (p Position) firstTouch() float64 { return count(p.First) }
func (p Position) leadCreate() float64 { return count(p.Lead) }

// uShaped returns the credit of the U-shaped model: half for the first touch, half for the lead's creation.
func (p Position) uShaped() float64 { return (count(p.First) + count(p.Lead)) / 2 }

func count(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
