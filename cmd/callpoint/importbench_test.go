package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var benchSessions = flag.Int("sessions", 100_000, "sessions that BenchmarkImport reads; docs/performance.md has 1000000")

// BenchmarkImport runs callpoint import as a process of its own, on a file that the cache
// of the kernel holds: wall and CPU time, and the most anonymous memory it ever had; and in
// the same round has bbolt alone store the same sessions in the order of arrival, without
// reading more of them than their keys. Medians of the rounds: -benchtime 3x.
func BenchmarkImport(b *testing.B) {
	file := sessionFile(b, *benchSessions)
	n := float64(*benchSessions)
	var alone, rate, ratio, cpu, anon []float64
	for b.Loop() {
		plain := n / bboltAlone(b, file).Seconds()
		took, spent, most := runImport(b, file)
		got := n / took.Seconds()
		alone, rate, ratio = append(alone, plain), append(rate, got), append(ratio, got/plain)
		cpu, anon = append(cpu, float64(spent.Microseconds())/n), append(anon, float64(most)/1e6)
	}
	b.ReportMetric(median(rate), "sessions/s")
	b.ReportMetric(median(alone), "bbolt-sessions/s")
	b.ReportMetric(median(ratio), "ratio")
	b.ReportMetric(median(cpu), "cpu-µs/session")
	b.ReportMetric(slices.Max(anon), "most-anon-MB")
}

// runImport says how long an import took, which CPU time, and its peak of anonymous memory.
func runImport(b *testing.B, file string) (took, cpu time.Duration, most int64) {
	b.Helper()
	c := exec.Command(os.Args[0], "import", file)
	c.Env = []string{
		"CALLPOINT_UNDER_TEST=1", "CALLPOINT_STORE=" + filepath.Join(b.TempDir(), "callpoint.db"),
		"SALESFORCE_DOMAIN=http://127.0.0.1:1", "SALESFORCE_CONSUMER_KEY=x", "SALESFORCE_CONSUMER_SECRET=x",
	}
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	began := time.Now()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	ended, peak := make(chan struct{}), make(chan int64)
	go watchAnonymous(c.Process.Pid, ended, peak)
	err := c.Wait()
	took = time.Since(began)
	close(ended)
	if err != nil {
		b.Fatalf("%v: %s", err, &said)
	}
	return took, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), <-peak
}

// bboltAlone stores the lines of a file under visitor and session, 5,000 to a transaction.
func bboltAlone(b *testing.B, file string) time.Duration {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bbolt.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(f)
	for more := true; more; {
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("sessions"))
			for i := 0; i < 5000 && err == nil; i++ {
				if more = lines.Scan(); !more {
					return lines.Err()
				}
				// {"session_id":"A","bizible_id":"B", …: the 4th and the 8th part.
				part := bytes.SplitN(lines.Bytes(), []byte(`"`), 9)
				err = bucket.Put(slices.Concat(part[7], []byte{0}, part[3]), bytes.Clone(lines.Bytes()))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// sessionFile has sessions of visitors in no order, some two of each.
func sessionFile(b *testing.B, n int) string {
	b.Helper()
	var text bytes.Buffer
	at := time.Now().Add(-24 * time.Hour).UTC()
	for i := range n {
		visitor := benchVisitor(int64(i) * 7919 % int64(n) * 2)
		start := at.Add(time.Duration(i) * time.Millisecond)
		fmt.Fprintf(&text, `{"session_id":"session-%d","bizible_id":"%s","started_at":"%s","ended_at":"%s","landing_page":"https://www.example.com/products/category-%d/item-%d?utm_source=google&utm_medium=cpc&utm_campaign=campaign-%d&gclid=EAIaIQobChMI%d","referrer":"https://www.google.com/","page_views":%d,"user_agent":"%s","geo":{"city":"Seattle","region":"Washington","country":"United States"}}`+"\n",
			i, visitor, start.Format(time.RFC3339Nano), start.Add(5*time.Minute).Format(time.RFC3339Nano), i%17, i%1009, i%101, i, i%9, benchAgent)
	}
	name := filepath.Join(b.TempDir(), "sessions.ndjson")
	if err := os.WriteFile(name, text.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// watchAnonymous looks at a process's RssAnon until it has ended.
func watchAnonymous(pid int, ended chan struct{}, most chan<- int64) {
	var peak int64
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ended:
			tick.Stop()
			most <- peak
			return
		case <-tick.C:
			peak = max(peak, anonymous(pid))
		}
	}
}

// anonymous is how many bytes of a process belong to no file; 0 where it has ended.
func anonymous(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := bytes.Cut(status, []byte("\nRssAnon:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return n << 10
}
