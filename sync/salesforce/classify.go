package salesforce

// Class says what to do about an error.
type Class int

const (
	None         Class = iota // no error
	Canceled                  // the caller's context ended
	Retry                     // again later, with backoff
	WaitParent                // again after the record it refers to exists
	Park                      // this record waits for a person or a change
	StopClass                 // this object waits: permissions or schema
	StopCalls                 // everything waits: login, daily limit
	Split                     // again with half as many records
	NarrowQuery               // again over a shorter span of time
	RestartQuery              // the query from its first page
	Bug                       // our own mistake
)

var classNames = [...]string{"none", "canceled", "retry", "wait-parent", "park", "stop-class", "stop-calls", "split", "narrow-query", "restart-query", "bug"}

func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "unknown"
	}
	return classNames[c]
}

func Classify(err error) Class { return None }
func Cure(err error) string    { return "" }
