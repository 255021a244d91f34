package collector

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/net/netutil"
)

// A Server is an HTTP server with the limits that slow, hostile or too many clients run into.
type Server struct {
	*http.Server
	bodies *bodies
}

// NewServer returns a server for the daemon's handler. There is no write timeout: POST
// /v1/sync answers after a whole cycle.
func NewServer(h http.Handler, log *slog.Logger) Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	all := &bodies{open: map[*trackedBody]struct{}{}}
	return Server{&http.Server{
		Handler:           discreet(all.track(h), log),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       2 * time.Minute, // 32 MiB at 2 Mbit/s
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10, // a GET /m/ipv has two URLs in its first line
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, all}
}

// maxConnections leaves the store file descriptors of its own. Others wait to be accepted.
const maxConnections = 4096

// Serve answers what comes from l, so many connections at a time.
func (s Server) Serve(l net.Listener) error {
	return s.Server.Serve(netutil.LimitListener(l, maxConnections))
}

// discreet logs a panic without the peer's address and without what was panicked with, both
// of which net/http would write. The connection is closed either way.
func discreet(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler {
				what := fmt.Sprintf("%T", v)
				if err, ok := v.(runtime.Error); ok {
					what = err.Error() // indexes and types only
				}
				log.Error("a request ended in a panic: this is a mistake in callpoint", "panic", what, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}
