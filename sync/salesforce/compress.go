package salesforce

import (
	"bytes"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// compressFrom is the size from which a request body is compressed: below it the headers
// outweigh the gain.
const compressFrom = 1 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}

// compress replaces a request's body by its gzip form and reports whether it did. Bodies of
// logins, and small ones, stay as they are.
func (c *Client) compress(out *http.Request, cl *call) (bool, error) {
	if cl.op == "login" || out.Body == nil || out.ContentLength < compressFrom || c.uncompressed.Load() {
		return false, nil
	}
	var to bytes.Buffer
	to.Grow(int(out.ContentLength / 8))
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&to)
	_, err := io.Copy(w, out.Body)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	_ = out.Body.Close() // it was read in memory
	if err != nil {
		return false, err
	}
	out.Body, out.ContentLength, out.GetBody = io.NopCloser(&to), int64(to.Len()), nil
	out.Header.Set("Content-Encoding", "gzip")
	return true, nil
}

// refusedCompressed reports whether an answer refuses a body because it is compressed.
func refusedCompressed(e *Error) bool {
	return e != nil && (e.Status == http.StatusUnsupportedMediaType || e.Status == http.StatusBadRequest && e.Code == "JSON_PARSER_ERROR")
}
