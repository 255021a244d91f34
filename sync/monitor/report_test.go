package monitor

import (
	"encoding/json"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// The record of a deleted Task counts as what it shows, also where the Task was edited
// between its last write and its deletion.
func TestReportCountsWhatIsInSalesforce(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tp := &store.Touchpoint{Content: json.RawMessage(`{"bizible2__Touchpoint_Type__c":"Call","bizible2__Marketing_Channel__c":"Email","bizible2__Marketing_Channel_Path__c":"Email.News"}`)}
	for _, test := range []struct {
		reason mapping.Reason
		tp     *store.Touchpoint
		want   ReportRow
	}{
		{mapping.TaskDeleted, tp, ReportRow{Channel: "Email", Subchannel: "News", Type: "Call", Calls: 1}},
		{mapping.OutsideWindow, tp, ReportRow{Channel: "Email", Subchannel: "News", Type: "Edited", Calls: 1}}, // its record follows
		{mapping.TaskDeleted, &store.Touchpoint{Content: json.RawMessage(`{}`)}, ReportRow{Channel: "(not mapped)", Type: "Edited", Calls: 1}},
	} {
		c := store.Call{Call: mapping.Call{TaskID: "a", At: at, Fields: map[string]any{"Type": "Edited"}}, Resolution: mapping.Resolution{Reason: test.reason}}
		tally := newTally(at.Add(-time.Hour), at.Add(time.Hour))
		tally.add(c, test.tp)
		if r := tally.report(); len(r.Rows) != 1 || r.Rows[0] != test.want {
			t.Errorf("%s: %+v, want %+v", test.reason, r.Rows, test.want)
		}
	}
}

// Amounts have the digits of their currency.
func TestRound(t *testing.T) {
	t.Parallel()
	a, b := 0.1, 0.2 // their sum is 0.30000000000000004
	for _, test := range []struct {
		amount float64
		digits int
		want   float64
	}{{a + b, 2, 0.3}, {1234.5678, 2, 1234.57}, {1234.5678, 0, 1235}, {-0.005, 3, -0.005}, {1e15 + 0.125, 2, 1e15 + 0.12}} {
		if got := round(test.amount, test.digits); got != test.want {
			t.Errorf("round(%v, %d) = %v, want %v", test.amount, test.digits, got, test.want)
		}
	}
}
