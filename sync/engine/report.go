package engine

import (
	"fmt"
	"time"
)

// Summary says what one cycle did. Counts are of this cycle; Parked and Cursor stand.
// Calls, Matched and Held count answers: where a visitor's calls come on two pages, the
// first of them is answered for twice.
type Summary struct {
	TasksRead            int       `json:"tasks_read"`
	TasksChanged         int       `json:"tasks_changed"`
	Calls                int       `json:"calls"`
	Matched              int       `json:"matched"`
	TouchpointsWritten   int       `json:"touchpoints_written"`
	TouchpointsUnchanged int       `json:"touchpoints_unchanged"`
	Held                 int       `json:"held"`
	ReasonsWritten       int       `json:"reasons_written"` // on Tasks
	Parked               int       `json:"parked"`
	LateRows             int       `json:"late_rows"` // changed Tasks that only the overlap found
	APICalls             int       `json:"api_calls"`
	DurationSeconds      float64   `json:"duration_seconds"`
	Cursor               time.Time `json:"cursor"`
}

// String is the one line of --sync-once.
func (s Summary) String() string {
	if s.TasksChanged == 0 && s.Calls == 0 && s.TouchpointsWritten == 0 {
		return fmt.Sprintf("nothing new: %d tasks read again, none changed, no record written; %d parked; %d API calls, %.1f s",
			s.TasksRead, s.Parked, s.APICalls, s.DurationSeconds)
	}
	return fmt.Sprintf("%d tasks read, %d changed; %d calls resolved, %d matched, %d held; %d touchpoints written, %d unchanged, %d parked; %d API calls, %.1f s",
		s.TasksRead, s.TasksChanged, s.Calls, s.Matched, s.Held, s.TouchpointsWritten, s.TouchpointsUnchanged, s.Parked, s.APICalls, s.DurationSeconds)
}

// A Report is a cycle's summary and its end.
type Report struct {
	Summary Summary
	Err     error
	At      time.Time // when it ended; zero: there was none
	Success time.Time // when the last successful one ended
	Paused  []Pause   // objects of which Salesforce refuses every record
}
