package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/collector"
)

// BenchmarkIngest posts one event to a request over 64 connections, each waiting for its
// answer, to the collector on a real store; and in the same round appends as much to a
// plain file with an fsync each. It reports the medians of the rounds: -benchtime 9x.
func BenchmarkIngest(b *testing.B) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	spareProcessors()
	for _, c := range []struct {
		name    string
		request func(n int64) string
	}{{"v1", postRequest}, {"browser", browserRequest}} {
		b.Run(c.name, func(b *testing.B) {
			const clients, requests, fsyncs = 64, 40_000, 4_000
			address := serveIngest(b)
			var n int64
			var raw, rate, ratio, p99, cpu []float64
			for b.Loop() {
				texts := make([][]string, clients) // made before the clock runs
				for i := range texts {
					for range requests / clients {
						n++
						texts[i] = append(texts[i], c.request(n))
					}
				}
				fsync := fsyncRate(b, fsyncs)
				began, spent := time.Now(), cpuTime(b)
				took := ingest(b, address, texts)
				got := float64(len(took)) / time.Since(began).Seconds()
				cpu = append(cpu, float64((cpuTime(b)-spent).Microseconds())/float64(len(took)))
				slices.Sort(took)
				raw, rate, ratio = append(raw, fsync), append(rate, got), append(ratio, got/fsync)
				p99 = append(p99, float64(took[len(took)*99/100].Microseconds())/1000)
			}
			b.ReportMetric(median(raw), "fsync/s")
			b.ReportMetric(median(rate), "events/s")
			b.ReportMetric(median(ratio), "ratio")
			b.ReportMetric(median(p99), "p99-ms")
			b.ReportMetric(median(cpu), "cpu-µs/event")
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// serveIngest is the daemon's way for what comes in: the server with its limits, the guard,
// the collector, a store.
func serveIngest(b *testing.B) (address string) {
	b.Helper()
	s, err := store.Open(filepath.Join(b.TempDir(), "callpoint.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	cfg := collector.Config{Store: s, BrowserRate: 1e9, BrowserBurst: 1e9}
	c, err := collector.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	c.Routes(mux)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := collector.NewServer(collector.Guard(cfg, mux), nil)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	b.Cleanup(func() {
		srv.Close()
		<-served
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

// fsyncRate is how often a second the disk makes a small append durable.
func fsyncRate(b *testing.B, n int) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	line := []byte(strings.Repeat("x", 500))
	began := time.Now()
	for range n {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

// ingest has each client send its requests one after the other, and returns what each took.
func ingest(b *testing.B, address string, texts [][]string) (took []time.Duration) {
	b.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, requests := range texts {
		wg.Go(func() {
			mine, err := client(address, requests)
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return took
}

// client is as lean as can be: what it costs is taken from the server on the same cores.
func client(address string, requests []string) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, text := range requests {
		began := time.Now()
		if _, err := conn.Write([]byte(text)); err != nil {
			return nil, err
		}
		if err := readAnswer(r); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// readAnswer reads an answer to its end; anything but 200 and 204 is an error.
func readAnswer(r *bufio.Reader) error {
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line))
		name, value, _ := strings.Cut(text, ": ")
		switch {
		case first && !strings.HasPrefix(text, "HTTP/1.1 20"):
			return fmt.Errorf("answer: %s", text)
		case name == "Content-Length":
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		case text == "":
			_, err = r.Discard(length)
			return err
		}
	}
}

func postRequest(n int64) string {
	body := fmt.Sprintf(`{"type":"view","bizible_id":"%s","at":"%s","sequence":%d,"url":"https://www.example.com/products/item-%d?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=EAIaIQobChMI%d","referrer":"https://www.google.com/","title":"Item %d","user_agent":"%s"}`,
		benchVisitor(n), time.Now().UTC().Format(time.RFC3339Nano), n, n%1009, n, n%1009, benchAgent)
	return fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func browserRequest(n int64) string {
	return fmt.Sprintf("GET /m/ipv?_biz_u=%s&_biz_t=%d&_biz_n=%d&_biz_l=https%%3A%%2F%%2Fwww.example.com%%2Fproducts%%2Fitem-%d%%3Futm_source%%3Dgoogle%%26utm_medium%%3Dcpc%%26gclid%%3DEAIaIQobChMI%d&_biz_r=https%%3A%%2F%%2Fwww.google.com%%2F&_biz_i=Item+%d HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %s\r\nAccept: */*\r\n\r\n",
		benchVisitor(n), time.Now().UnixMilli(), n, n%1009, n, n%1009, benchAgent)
}

const benchAgent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15"

// benchVisitor is one of visitors in no order, some four events each.
func benchVisitor(n int64) string {
	v := uint32(n/4) * 2654435761
	return fmt.Sprintf("%08x%08x%08x%08x", v, v^0x5bd1e995, v*31, v*17)
}

// cpuTime is what this process has used, in itself and in the kernel for it.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
