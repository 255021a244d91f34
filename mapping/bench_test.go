package mapping

import (
	"fmt"
	"testing"
	"time"
)

// busyVisitor is a visitor with so many events and calls: a session of five views every two hours,
// and calls spread evenly, most of them in a window.
func busyVisitor(events, calls int) Journey {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j := Journey{Visitor: "v1", Now: start.AddDate(10, 0, 0), Earliest: start}
	landings := []struct{ url, referrer string }{
		{"https://www.example.com/?gclid=EAIaIQobChMI&_bk=shoes&_bm=p&utm_campaign=brand", "https://www.google.com/"},
		{"https://www.example.com/", "https://www.linkedin.com/feed/"},
		{"https://www.example.com/prices", ""},
		{"https://www.example.com/?utm_source=newsletter&utm_medium=email&utm_campaign=may", ""},
		{"https://www.example.com/blog", "https://blog.example.net/a/post"},
	}
	for i := range events {
		at := start.Add(time.Duration(i/5)*2*time.Hour + time.Duration(i%5)*time.Minute)
		e := Event{Kind: View, Visitor: "v1", At: at, URL: fmt.Sprintf("https://www.example.com/page/%d", i%50), Referrer: "https://www.example.com/"}
		if i%5 == 0 {
			e.URL, e.Referrer = landings[i/5%5].url, landings[i/5%5].referrer
		}
		j.Events = append(j.Events, e)
	}
	for i := range calls {
		at := start.Add(time.Duration(i) * time.Duration(events/5) * 2 * time.Hour / time.Duration(max(calls, 1))).Add(10 * time.Minute)
		id := fmt.Sprintf("00T%012dAAA", i)
		j.Calls = append(j.Calls, Call{TaskID: id, Visitor: "v1", At: at, Fields: map[string]any{"Id": id, "Type": "Call", "WhoId": "00Q000000000001AAA"}})
	}
	return j
}

func BenchmarkSessions(b *testing.B) {
	s := Default()
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(n, " events"), func(b *testing.B) {
			j := busyVisitor(n, 0)
			b.ReportAllocs()
			for b.Loop() {
				s.Sessions(j.Visitor, j.Events, nil)
			}
		})
	}
}

func BenchmarkChannel(b *testing.B) {
	s := Default()
	for name, x := range map[string]Landing{
		"first row": {"https://www.example.com/?gclid=EAIaIQobChMI&_bk=shoes&_bm=p&utm_campaign=brand", "https://www.google.com/"},
		"last row":  {"https://www.example.com/blog", "https://blog.example.net/a/post"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Channel(x.Page, x.Referrer)
			}
		})
	}
}

func BenchmarkParseRules(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseRules(channelsCSV); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	s := Default()
	for _, size := range []struct{ events, calls int }{{10, 1}, {1000, 100}, {10000, 1000}} {
		b.Run(fmt.Sprintf("%d events %d calls", size.events, size.calls), func(b *testing.B) {
			j := busyVisitor(size.events, size.calls)
			b.ReportAllocs()
			for b.Loop() {
				s.Resolve(j)
			}
		})
	}
}
