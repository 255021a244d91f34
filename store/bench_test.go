package store

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv/pgkv/pgtest"

	bolt "go.etcd.io/bbolt"
)

// benchRows is how many events or sessions the larger benchmarks store. The figures of
// docs/performance.md are of 1000000.
var benchRows = flag.Int("rows", 100_000, "events or sessions in the larger benchmarks")

// benchEvent is the nth event to arrive: of visitors in no order, some four each.
func benchEvent(n int) mapping.Event {
	visitor := uint32(n/4) * 2654435761
	if n%4 > 0 {
		visitor = uint32((n*7919)%(*benchRows)/4) * 2654435761
	}
	return mapping.Event{
		Kind: mapping.View, Visitor: fmt.Sprintf("%08x%08x%08x%08x", visitor, visitor^0x5bd1e995, visitor*31, visitor*17), At: goldenAt.Add(time.Duration(n) * 10 * time.Millisecond), Sequence: int64(n),
		URL:      fmt.Sprintf("https://www.example.com/products/category-%d/item-%d?utm_source=google&utm_medium=cpc&utm_campaign=campaign-%d&gclid=EAIaIQobChMI%d", n%17, n%1009, n%101, n),
		Referrer: "https://www.google.com/", Title: fmt.Sprintf("Item %d of category %d", n%1009, n%17),
		UserAgent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
		Geo:       mapping.Geo{City: "Seattle", Region: "Washington", Country: "United States"},
	}
}

func benchVisit(n int) mapping.Visit {
	e := benchEvent(n)
	return mapping.Visit{
		SessionID: fmt.Sprintf("session-%d", n), Visitor: e.Visitor, StartedAt: e.At, EndedAt: e.At.Add(5 * time.Minute),
		LandingPage: e.URL, Referrer: e.Referrer, PageViews: n % 9, UserAgent: e.UserAgent, Geo: e.Geo,
	}
}

// BenchmarkDurable compares one event to a transaction with the least that durability
// costs: appending the same bytes to a file, and fsync.
func BenchmarkDurable(b *testing.B) {
	b.Run("append+fsync", func(b *testing.B) {
		b.ReportAllocs()
		f, err := os.Create(filepath.Join(b.TempDir(), "log"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		n := 0
		for b.Loop() {
			n++
			value, err := json.Marshal(benchEvent(n))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Write(value); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
	for _, clients := range []int{1, 64} {
		benchmarkAdd(b, fmt.Sprintf("add/clients=%d", clients), clients, openTest)
		if pgtest.Find() != "" {
			benchmarkAdd(b, fmt.Sprintf("add/postgres/clients=%d", clients), clients, func(t testing.TB) *Store {
				server := durableServer(t)
				return openAt(t, server.URL(server.Schema(t)), Options{})
			})
		}
	}
}

// durableServer is a PostgreSQL that syncs its disk, as no other test needs.
func durableServer(t testing.TB) *pgtest.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgtest.New(dir, "fsync=on")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// benchmarkAdd adds events one by one, from several clients.
func benchmarkAdd(b *testing.B, name string, clients int, open func(testing.TB) *Store) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		s := open(b)
		var n atomic.Int64
		var mu sync.Mutex
		var took []time.Duration
		jobs := make(chan struct{}, clients)
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range jobs {
					began := time.Now()
					if _, err := s.Add(context.Background(), []mapping.Event{benchEvent(int(n.Add(1)))}, nil); err != nil {
						b.Error(err)
					}
					mu.Lock()
					took = append(took, time.Since(began))
					mu.Unlock()
				}
			})
		}
		for b.Loop() {
			jobs <- struct{}{}
		}
		close(jobs)
		wg.Wait()
		b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "events/s")
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	})
}

// BenchmarkImport stores the same sessions four ways: in the rough order of the keys, as
// import brings them; in the order of arrival; and as bbolt alone takes the finished rows
// in the order of arrival, 1,000 to a transaction and as many as import has.
func BenchmarkImport(b *testing.B) {
	const batch = 5000
	arrival := make([]int, *benchRows)
	for n := range arrival {
		arrival[n] = n
	}
	sorted := slices.Clone(arrival)
	slices.SortStableFunc(sorted, func(x, y int) int {
		return strings.Compare(benchEvent(x).Visitor[:2], benchEvent(y).Visitor[:2])
	})
	for _, c := range []struct {
		name  string
		order []int
	}{{"key-order", sorted}, {"arrival-order", arrival}} {
		b.Run("add/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := openTest(b)
				for part := range slices.Chunk(c.order, batch) {
					visits := make([]mapping.Visit, 0, batch)
					for _, n := range part {
						visits = append(visits, benchVisit(n))
					}
					if _, err := s.Add(context.Background(), nil, visits); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(*benchRows*b.N)/b.Elapsed().Seconds(), "sessions/s")
		})
	}
	for _, batch := range []int{1000, batch} {
		b.Run(fmt.Sprintf("bbolt/batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				db, err := bolt.Open(filepath.Join(b.TempDir(), "bolt.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, InitialMmapSize: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				for from := 0; from < *benchRows; from += batch {
					err := db.Update(func(tx *bolt.Tx) error {
						bk, err := tx.CreateBucketIfNotExists([]byte("visits"))
						if err != nil {
							return err
						}
						for n := from; n < min(from+batch, *benchRows); n++ {
							v := benchVisit(n)
							key := prefixed(v.Visitor, []byte(v.SessionID))
							value, err := seal(key, v)
							if err != nil {
								return err
							}
							if err := bk.Put(key, value); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(*benchRows*b.N)/b.Elapsed().Seconds(), "sessions/s")
		})
	}
}
