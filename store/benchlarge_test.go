package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"

	"golang.org/x/sys/unix"
)

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
			return s.view(func(tx kv.Tx) error {
				for k, v := range tx.Scan(under(bEvents, v)) {
					if _, err := verify(k, v); err != nil {
						return err
					}
				}
				return nil
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

// BenchmarkSizes fills a store, opens it again from the disk, prunes 90 % and compacts it. It reports
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
		uncache(b, path)
		began := time.Now()
		if s, err = Open(path, Options{}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "cold-open-ms")

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
		err = s.view(func(tx kv.Tx) error {
			live = 0
			for b := range buckets {
				for k, v := range tx.Scan(kv.Range{Bucket: kv.Bucket(b)}) {
					live += int64(len(k) + len(v))
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

// uncache has the kernel forget the pages of a file that nobody has open.
func uncache(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		b.Fatal(err)
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
