package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callpoint/mapping"

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
		b.Run(fmt.Sprintf("add/clients=%d", clients), func(b *testing.B) {
			b.ReportAllocs()
			s := openTest(b)
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
				db, err := bolt.Open(filepath.Join(b.TempDir(), "bolt.db"), 0o600, boltOptions(Options{}.withDefaults(), 0))
				if err != nil {
					b.Fatal(err)
				}
				for from := 0; from < *benchRows; from += batch {
					err := db.Update(func(tx *bolt.Tx) error {
						bk, err := tx.CreateBucketIfNotExists(bVisits)
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

// filled is a store of benchRows events, and the size of what they are: keys and values.
func filled(b *testing.B) (s *Store, path string, payload int64) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "callpoint.db")
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	const batch = 5000
	for from := 0; from < *benchRows; from += batch {
		var events []mapping.Event
		for n := from; n < min(from+batch, *benchRows); n++ {
			e := benchEvent(n)
			events = append(events, e)
			value, err := json.Marshal(e)
			if err != nil {
				b.Fatal(err)
			}
			payload += int64(len(eventKey(e)) + len(value))
		}
		if _, err := s.Add(context.Background(), events, nil); err != nil {
			b.Fatal(err)
		}
	}
	return s, path, payload
}

// BenchmarkLookUp finds a visitor's journey among benchRows events: as the engine reads
// it, and the rows alone without decoding them.
func BenchmarkLookUp(b *testing.B) {
	s, _, _ := filled(b)
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		find func(visitor string) error
	}{
		{"rows", func(v string) error {
			return s.view(func(tx *txn) error {
				return scan(tx.Bucket(bEvents), prefixed(v), func(k, v []byte) (bool, error) {
					_, err := verify(k, v)
					return true, err
				})
			})
		}},
		{"journey", func(v string) error { _, err := s.Journey(v); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				v := benchEvent(r.IntN(*benchRows)).Visitor
				began := time.Now()
				if err := c.find(v); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
		})
	}
}

// BenchmarkSizes fills a store, opens it again, prunes 90 % and compacts it. It reports
// sizes as ratios to the payload, and what the writer's clients wait meanwhile.
func BenchmarkSizes(b *testing.B) {
	for b.Loop() {
		s, path, payload := filled(b)
		file, used, err := s.Size()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(used)/float64(payload), "used/payload")
		b.ReportMetric(float64(file)/float64(payload), "file/payload")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if s, err = Open(path, Options{}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "open-ms")

		waited := waits(s)
		began = time.Now()
		bound := goldenAt.Add(time.Duration(*benchRows*9/10) * 10 * time.Millisecond)
		did, err := s.Prune(context.Background(), bound, cutAll)
		if err != nil || did.Rows == 0 {
			b.Fatal(did, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "prune-s")
		b.ReportMetric(float64(waited().Microseconds())/1000, "prune-wait-ms")

		waited = waits(s)
		began = time.Now()
		_, after, err := s.Compact(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "compact-s")
		b.ReportMetric(float64(waited().Microseconds())/1000, "compact-wait-ms")
		var live int64
		err = s.view(func(tx *txn) error {
			for _, name := range buckets {
				if err := tx.Bucket(name).ForEach(func(k, v []byte) error { live += int64(len(k) + len(v)); return nil }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(after)/float64(live), "compacted/live")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// waits adds events one by one until the returned function is called, which says how
// long the slowest took.
func waits(s *Store) (longest func() time.Duration) {
	stop, done := make(chan struct{}), make(chan time.Duration)
	go func() {
		var most time.Duration
		for n := uint64(0); ; n++ {
			select {
			case <-stop:
				done <- most
				return
			default:
			}
			e := event("waiting", int(n%1000))
			e.At = e.At.AddDate(1, 0, 0)
			e.URL += string(binary.AppendUvarint([]byte("?"), n))
			began := time.Now()
			if _, err := s.Add(context.Background(), []mapping.Event{e}, nil); err != nil {
				panic(err)
			}
			most = max(most, time.Since(began))
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-done
	}
}

// BenchmarkBackup copies a store while events come in: what the copy costs, how long the
// slowest event waits, and what the file grows by.
func BenchmarkBackup(b *testing.B) {
	s, _, _ := filled(b)
	defer s.Close()
	before, _, err := s.Size()
	if err != nil {
		b.Fatal(err)
	}
	waited := waits(s)
	for b.Loop() {
		f, err := os.Create(filepath.Join(b.TempDir(), "copy.db"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Backup(context.Background(), f); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(waited().Microseconds())/1000, "wait-ms")
	after, _, err := s.Size()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(after)/float64(before), "growth")
}
