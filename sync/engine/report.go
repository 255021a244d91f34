package engine

import (
	"fmt"
	"time"
)

// Summary counts what one cycle did. Parked and Cursor are totals, the others of this cycle.
// Calls, Matched and Held count answers: where a visitor's calls come on two pages, the
// first of them is answered for twice.
type Summary struct {
	TasksRead            int        `json:"tasks_read"`
	TasksChanged         int        `json:"tasks_changed"`
	Calls                int        `json:"calls"`
	Matched              int        `json:"matched"`
	TouchpointsWritten   int        `json:"touchpoints_written"`
	TouchpointsUnchanged int        `json:"touchpoints_unchanged"`
	Held                 int        `json:"held"`
	ValuesCut            int        `json:"values_cut"`      // too long for their field
	ReasonsWritten       int        `json:"reasons_written"` // on Tasks
	Parked               int        `json:"parked"`
	LateRows             int        `json:"late_rows"` // changed Tasks that only the overlap found
	APICalls             int        `json:"api_calls"`
	DurationSeconds      float64    `json:"duration_seconds"`
	Cursor               *time.Time `json:"cursor"` // nil before the first poll
	// SourcesFailed holds the errors of sources beside Task that could not be read, by name.
	SourcesFailed map[string]string `json:"sources_failed,omitempty"`
}

// String is the one line of --sync-once, of a cycle that was completed.
func (s Summary) String() string {
	if s.TasksChanged == 0 && s.Calls == 0 && s.TouchpointsWritten == 0 {
		return fmt.Sprintf("nothing new: %s read again, none changed, no record written; %d parked; %s, %.1f s",
			number(s.TasksRead, "task"), s.Parked, number(s.APICalls, "API call"), s.DurationSeconds)
	}
	return s.counts()
}

func (s Summary) counts() string {
	return fmt.Sprintf("%s read, %d changed; %s resolved, %d matched, %d held; %s written, %d unchanged, %d parked; %s, %.1f s",
		number(s.TasksRead, "task"), s.TasksChanged, number(s.Calls, "call"), s.Matched, s.Held,
		number(s.TouchpointsWritten, "touchpoint"), s.TouchpointsUnchanged, s.Parked, number(s.APICalls, "API call"), s.DurationSeconds)
}

// Failed is the summary of a cycle that ended early: what it did all the same.
type Failed struct{ Summary }

func (f Failed) String() string { return "not completed: " + f.counts() }

func number(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// A Report is a cycle's summary and its end.
type Report struct {
	Summary Summary
	Err     error
	At      time.Time // when it ended; zero: there was none
	Success time.Time // when the last successful one ended
	Paused  []Pause   // objects of which Salesforce refuses every record
}
