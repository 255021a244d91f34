package salesforce

import "log/slog"

// A Secret is a string that prints as [secret] wherever it ends up: in a log,
// an error, JSON, or a struct printed with %+v. The value hangs behind a
// pointer because fmt ignores String on unexported fields and prints what is
// in them; of a pointer it prints the address.
type Secret struct{ value *string }

const redacted = "[secret]"

// NewSecret hides s. The empty string gives the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns what is hidden. Only code that sends it should call this.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is nothing to hide.
func (s Secret) IsZero() bool { return s.value == nil }

func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return redacted
}

func (s Secret) GoString() string             { return `"` + s.String() + `"` }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText lets configuration readers fill a Secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
