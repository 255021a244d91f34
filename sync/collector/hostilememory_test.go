package collector

import (
	"io"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// No body costs more memory than one record, its window and its answer.
func TestHostileMemory(t *testing.T) {
	// Lines of which nothing is kept, so that what is left is the cost of reading.
	junk := strings.Repeat(`{"x":"`+strings.Repeat("a", 1000)+`"}`+"\n", 31<<20/1010)
	cases := slices.Clone(hostile)
	cases = append(cases, cases[0], cases[0])
	for i, encoding := range []string{"gzip", "zstd"} {
		c := &cases[len(hostile)+i]
		c.name, c.encoding, c.body = "junk, "+encoding, encoding, gzipped(junk)
		if encoding == "zstd" {
			c.body = zstded(junk)
		}
	}
	c, err := New(Config{Store: newMemory(), Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range cases {
		before := liveHeap()
		peak := &peakReader{r: strings.NewReader(h.body), every: 1 + len(h.body)>>15}
		r := httptest.NewRequest("POST", "/v1/events", peak)
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.Header.Set("Content-Encoding", h.encoding)
		w := httptest.NewRecorder()
		c.ingest(eventLines)(w, r)
		if grown := int64(liveHeap()) - int64(before); grown > 16<<20 {
			t.Errorf("%s: %d MiB stay", h.name, grown>>20)
		}
		if live := int64(peak.max) - int64(before); live > 32<<20 {
			t.Errorf("%s: %d MiB live while reading", h.name, live>>20)
		}
		if w.Code >= 500 {
			t.Errorf("%s: %d", h.name, w.Code)
		}
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// peakReader notes the live heap at some points while it is read.
type peakReader struct {
	r        io.Reader
	n, every int
	max      uint64
}

func (p *peakReader) Read(b []byte) (int, error) {
	if p.n++; p.n%p.every == 0 {
		p.max = max(p.max, liveHeap())
	}
	return p.r.Read(b[:min(len(b), 1024)])
}
