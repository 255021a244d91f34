package monitor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
)

// The explanation of a person who cannot be followed, of nobody, and of a long journey.
func TestPersonSection(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	long := &PersonView{WhoID: "00Q1", BizibleIDs: []string{"v"}}
	for i := range stepsShown + 3 {
		long.Journey = append(long.Journey, JourneyStep{At: at.Add(time.Duration(i) * time.Hour), Kind: "call", TaskID: fmt.Sprint("t", i), Position: "PostLC"})
	}
	for name, test := range map[string]struct {
		person *PersonView
		want   string
		rows   int
	}{
		"nobody":   {nil, "counts for nobody", 0},
		"too many": {&PersonView{WhoID: "00Q1", TooMany: true}, fmt.Sprintf("00Q1 has more than %d BizibleIds", mapping.MaxVisitors), 0},
		"long":     {long, "3 later steps are left out here: /v1/persons/00Q1", stepsShown},
		"no FT":    {long, "Not FT: a record that stays as it is holds the first touch.", stepsShown},
	} {
		s := personSection(CallView{TaskID: "t1", Person: test.person})
		if text := strings.Join(s.Text, " "); !strings.Contains(text, test.want) || len(s.Rows) != test.rows {
			t.Errorf("%s: %d rows, %s", name, len(s.Rows), text)
		}
	}
}
