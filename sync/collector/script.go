package collector

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed callpoint.js
var scriptText []byte

// script is /callpoint.js.
type script struct {
	text []byte
	etag string
}

func newScript() script {
	sum := sha256.Sum256(scriptText)
	return script{text: scriptText, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
}

func (s script) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", s.etag)
	h.Set("Access-Control-Allow-Origin", "*") // for integrity="…" on the tag
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	http.ServeContent(w, r, "callpoint.js", time.Time{}, bytes.NewReader(s.text))
}
