package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkProbes asks the daemon's probes, one request after the other, while 64 clients
// post an event to a request as fast as they are answered.
//
//	go test ./cmd/callpoint -run '^$' -bench Probes -benchtime 5x
func BenchmarkProbes(b *testing.B) {
	const clients, probes = 64, 500
	bench := newBench(b)
	d := bench.daemon()
	address := strings.TrimPrefix(d.url, "http://")
	load, stop := context.WithCancel(b.Context())
	var posted atomic.Int64
	var posting sync.WaitGroup
	for range clients {
		posting.Go(func() {
			if err := post(load, address, &posted); err != nil {
				b.Error(err)
			}
		})
	}
	took := map[string][]time.Duration{}
	began := time.Now()
	for b.Loop() {
		for _, path := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
			for range probes {
				asked := time.Now()
				if status, _ := d.request(http.MethodGet, path, nil); status != http.StatusOK {
					b.Fatalf("%s: %d", path, status)
				}
				took[path] = append(took[path], time.Since(asked))
			}
		}
	}
	b.ReportMetric(float64(posted.Load())/time.Since(began).Seconds(), "events/s")
	stop()
	posting.Wait()
	d.stop()
	for path, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, path[1:]+"-p50-ms")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, path[1:]+"-p99-ms")
	}
}

// post sends events over one connection until ctx ends, and counts the answers.
func post(ctx context.Context, address string, posted *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for r := bufio.NewReader(conn); ctx.Err() == nil; {
		if _, err := conn.Write([]byte(postRequest(posted.Add(1)))); err != nil {
			return err
		}
		if err := readAnswer(r); err != nil {
			return err
		}
	}
	return nil
}
