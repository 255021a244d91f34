// Package workload makes the data of the benchmarks: web sessions, and the phone calls
// that follow from them. One seed gives the same data every time.
package workload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// Size says how much of each.
type Size struct {
	Visitors int // with one to three sessions each
	Calls    int // Tasks, of the first so many visitors
}

// A Session is one line of what callpoint takes at /v1/sessions, and as a file.
type Session struct {
	SessionID   string    `json:"session_id"`
	Visitor     string    `json:"bizible_id"`
	StartedAt   time.Time `json:"started_at"`
	EndedAt     time.Time `json:"ended_at"`
	LandingPage string    `json:"landing_page"`
	Referrer    string    `json:"referrer,omitempty"`
	PageViews   int       `json:"page_views"`
	UserAgent   string    `json:"user_agent"`
}

const agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"

var origins = []struct{ query, referrer string }{
	{"?gclid=EAIaIQobChMI%08x&utm_source=google&utm_medium=cpc&utm_campaign=hail-season&utm_term=roof+repair", "https://www.google.com/"},
	{"?utm_source=facebook&utm_medium=paid_social&utm_campaign=financing&fbclid=IwAR%08x", "https://l.facebook.com/"},
	{"?utm_source=newsletter&utm_medium=email&utm_campaign=spring-%08x", ""},
	{"?ref=%08x", "https://www.bing.com/"},
	{"?v=%08x", "https://www.trustedroofers.example/best-of/"},
	{"?d=%08x", ""},
}

// last is what a call follows from: the last session of its visitor.
type last struct{ ended time.Time }

// A Generator makes one data set: Sessions once, then Tasks as often as wanted.
type Generator struct {
	seed  uint64
	size  Size
	now   time.Time
	lasts []last
}

// New makes a generator. All times lie within the 25 days before now.
func New(seed uint64, size Size, now time.Time) *Generator {
	return &Generator{seed: seed, size: size, now: now.UTC().Truncate(time.Second)}
}

// Visitor is the id of the i-th visitor. Ids are spread like hashes: neighbours in time
// are no neighbours in a key-value store.
func Visitor(i int) string {
	return fmt.Sprintf("%016x%016x", uint64(i+1)*0x9e3779b97f4a7c15, uint64(i))
}

// Sessions writes every session as a line of JSON, in the order of visitors, and says
// how many there are.
func (g *Generator) Sessions(w io.Writer) (n int, err error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	rng := rand.New(rand.NewPCG(g.seed, 1))
	for i := range g.size.Visitors {
		at := g.now.Add(-time.Duration(24*3600+rng.IntN(24*24*3600)) * time.Second)
		count := 1 + rng.IntN(3)
		for k := range count {
			o := origins[rng.IntN(len(origins))]
			s := Session{
				SessionID: fmt.Sprintf("s%d-%d", i, k), Visitor: Visitor(i),
				StartedAt: at, EndedAt: at.Add(time.Duration(30+rng.IntN(600)) * time.Second),
				LandingPage: "https://www.harborroofing.example/quote" + fmt.Sprintf(o.query, rng.Uint32()),
				Referrer:    o.referrer, PageViews: 1 + rng.IntN(9), UserAgent: agent,
			}
			if err := enc.Encode(s); err != nil {
				return n, err
			}
			n++
			if k == count-1 {
				g.lasts = append(g.lasts, last{s.EndedAt})
			}
			at = s.EndedAt.Add(time.Duration(2+rng.IntN(3)) * time.Hour)
		}
	}
	return n, nil
}

// Leads are the people whom the calls belong to, one each: a call of nobody has no touchpoint.
func (g *Generator) Leads() []map[string]any {
	all := make([]map[string]any, 0, g.size.Calls)
	for i := range g.size.Calls {
		all = append(all, Lead(i))
	}
	return all
}

// Lead is the caller of the i-th call.
func Lead(i int) map[string]any {
	return map[string]any{"LastName": fmt.Sprintf("Caller %d", i), "Company": "(unknown)"}
}

// Tasks gives the calls, nine in ten within half an hour of the visitor's last session.
// Stamps are those of the call, so that an org filled at once looks like one that grew.
// leads are the ids of Leads, in the same order.
func (g *Generator) Tasks(leads []string) []map[string]any {
	all := make([]map[string]any, 0, g.size.Calls)
	rng := rand.New(rand.NewPCG(g.seed, 2))
	for i := range g.size.Calls {
		at := g.lasts[i].ended.Add(time.Duration(1+rng.IntN(29)) * time.Minute)
		if i%10 == 9 {
			at = at.Add(time.Hour)
		}
		all = append(all, Task(i, at, leads[i]))
	}
	// A real org gives ids in the order of creation.
	slices.SortStableFunc(all, func(a, b map[string]any) int {
		return cmp.Compare(a["CreatedDate"].(string), b["CreatedDate"].(string))
	})
	return all
}

// Task is one call of the i-th visitor.
func Task(i int, at time.Time, who string) map[string]any {
	stamp := at.UTC().Format("2006-01-02T15:04:05Z")
	t := map[string]any{
		"Subject": fmt.Sprintf("Call %d", i), "Type": "Call", "TaskSubtype": "Call", "CallType": "Inbound", "Status": "Completed",
		"CallDurationInSeconds": 30 + i%600, "bizible2__BizibleId__c": Visitor(i),
		"bizible2__Bizible_Touchpoint_Date__c": stamp,
		"CreatedDate":                          stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp,
	}
	if who != "" {
		t["WhoId"] = who
	}
	return t
}
