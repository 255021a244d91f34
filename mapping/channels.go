package mapping

// Rules are the channel rules, read top-down.
type Rules struct{}

// DefaultRules are the rules that hold without a file.
func DefaultRules() *Rules { return &Rules{} }
