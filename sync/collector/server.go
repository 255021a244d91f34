package collector

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server for the daemon's handler with the limits that a slow or
// hostile client runs into. There is no write timeout: POST /v1/sync answers after a whole
// cycle.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       2 * time.Minute, // 32 MiB at 2 Mbit/s
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10, // a GET /m/ipv has two URLs in its first line
	}
	if log != nil {
		s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	}
	return s
}
