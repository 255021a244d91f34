package collector

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"callpoint/mapping"
)

func realisticEvent(i int) string {
	return view("sequence", fmt.Sprint(i), "bizible_id", quote(fmt.Sprintf("%032x", i%1000+16)),
		"url", `"https://www.example.com/pricing/plans?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=EAIaIQobChMI123-456_BwE"`,
		"referrer", `"https://www.google.com/"`, "title", `"Pricing | Example"`, "user_agent", quote(safari))
}

func realisticSession(i int) string {
	return sessionLine("session_id", quote(fmt.Sprintf("s%d", i)), "bizible_id", quote(fmt.Sprintf("%032x", i%1000+16)),
		"landing_page", `"https://www.example.com/pricing/plans?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=EAIaIQobChMI123-456_BwE"`,
		"referrer", `"https://www.google.com/"`, "user_agent", quote(safari))
}

func repeat(n int, line func(int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
		b.WriteByte('\n')
	}
	return b.String()
}

func BenchmarkReadNDJSON(b *testing.B) {
	const n = 10000
	for name, text := range map[string]string{
		"events": repeat(n, realisticEvent), "sessions": repeat(n, realisticSession), "sessions-zstd": zstded(repeat(n, realisticSession)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read := 0
				for rec, err := range ReadNDJSON(strings.NewReader(text), fileConfig()) {
					if err != nil || rec.Err != nil {
						b.Fatal(err, rec.Err)
					}
					read++
				}
				if read != n {
					b.Fatal(read)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
	// The limit: encoding/json on one core, which checks nothing.
	b.Run("sessions-encoding-json", func(b *testing.B) {
		text := repeat(n, realisticSession)
		b.ReportAllocs()
		for b.Loop() {
			for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
				var v mapping.Visit
				if err := d.Decode(&v); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

func BenchmarkIngest(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d-events", n), func(b *testing.B) {
			s := serve(b)
			body := repeat(n, realisticEvent)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/x-ndjson")
				w := httptest.NewRecorder()
				s.ingest(eventLines)(w, r)
				if w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkScrub(b *testing.B) {
	s := newScrubber(DefaultScrub)
	for name, u := range map[string]string{
		"plain":  "https://www.example.com/pricing/plans",
		"tagged": "https://www.example.com/?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=EAIaIQobChMI123-456_BwE",
		"email":  "https://www.example.com/?utm_source=google&email=jane%40example.com",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				io.WriteString(io.Discard, s.url(u))
			}
		})
	}
}
