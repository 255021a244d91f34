package collector

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// refusal is an error about a whole request, with what to answer.
type refusal struct {
	status int
	reason string // for metrics
	text   string
}

func (e *refusal) Error() string { return e.text }

func errTooLarge(limit int64, what string) error {
	return &refusal{http.StatusRequestEntityTooLarge, refusedSize,
		fmt.Sprintf("the body is larger than %d bytes%s; send it in parts, or use callpoint import", limit, what)}
}

var errBusy = &refusal{http.StatusTooManyRequests, refusedBusy, "too many bodies at a time; send this one again"}

// largeBody is the inflated size from which a body needs one of the few large slots, so
// that many big bodies at a time cannot take all memory.
const largeBody = 1 << 20

// body reads a request's content: inflated, limited both ways.
type body struct {
	src   io.Reader
	n     int64 // bytes given out
	max   int64
	mem   *charge
	large chan struct{}
	held  bool // a slot of large is ours
	close []func()
}

func (b *body) Read(p []byte) (int, error) {
	// One byte beyond the limit distinguishes a body of exactly that size from a larger one.
	if room := b.max + 1 - b.n; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := b.src.Read(p)
	b.n += int64(n)
	if b.n > b.max {
		return 0, errTooLarge(b.max, " inflated")
	}
	if !b.mem.take(int64(n)) {
		return 0, errBusy
	}
	if b.n > largeBody && !b.held {
		select {
		case b.large <- struct{}{}:
			b.held = true
		default:
			return 0, errBusy
		}
	}
	return n, err
}

func (b *body) Close() {
	for _, f := range b.close {
		f()
	}
	if b.held {
		<-b.large
	}
}

// openBody prepares a /v1 request's body for reading; what is read is charged to mem.
func (c *Collector) openBody(w http.ResponseWriter, r *http.Request, mem *charge) (*body, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !jsonTypes[kind] || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		w.Header().Set("Accept-Post", "application/json, application/x-ndjson")
		return nil, &refusal{http.StatusUnsupportedMediaType, refusedType,
			"Content-Type must be application/json or application/x-ndjson, in UTF-8"}
	}
	b := &body{src: http.MaxBytesReader(w, r.Body, c.cfg.MaxBody), max: c.cfg.MaxBody, mem: mem, large: c.large}
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ","))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		if !mem.take(gzipMemory) {
			return nil, errBusy
		}
		z, err := gzip.NewReader(b.src)
		if err != nil {
			return nil, err
		}
		b.src = z
	case "zstd":
		if !mem.take(zstdMemory) {
			return nil, errBusy
		}
		// RFC 9659 lets a sender use windows of 8 MiB at most.
		z, err := zstd.NewReader(b.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		b.src, b.close = z, append(b.close, z.Close)
	default:
		w.Header().Set("Accept-Encoding", "gzip, zstd")
		return nil, &refusal{http.StatusUnsupportedMediaType, refusedEncoding, "Content-Encoding must be gzip or zstd"}
	}
	return b, nil
}

var jsonTypes = map[string]bool{
	"application/json":       true,
	"application/x-ndjson":   true,
	"application/ndjson":     true,
	"application/jsonl":      true,
	"application/jsonlines":  true,
	"application/x-jsonl":    true,
	"application/json-lines": true,
}

// asRefusal converts an error on reading a body to the response.
func (c *Collector) asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge(c.cfg.MaxBody, "").(*refusal)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{http.StatusRequestTimeout, refusedBody, "the body did not arrive in time; nothing of it was kept"}
	}
	return &refusal{http.StatusBadRequest, refusedBody, "the body cannot be read: " + err.Error() + "; nothing of it was kept"}
}
