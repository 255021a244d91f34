package collector

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// bodyGrace is how long bodies that are on their way when the server stops may take.
const bodyGrace = time.Second

// bodies are the requests whose body has not been read to its end.
type bodies struct {
	mu    sync.Mutex
	open  map[*trackedBody]struct{} // guarded by mu
	until time.Time                 // when reading ends; zero: never. Guarded by mu
}

// A trackedBody is the body of a request in flight.
type trackedBody struct {
	io.ReadCloser
	all     *bodies
	control *http.ResponseController
	timed   bool // it has a deadline of its own
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.all.remove(b)
		if err == io.EOF && b.timed {
			_ = b.control.SetReadDeadline(time.Time{}) // it was for the body
		}
	}
	return n, err
}

func (b *bodies) remove(body *trackedBody) {
	b.mu.Lock()
	delete(b.open, body)
	b.mu.Unlock()
}

// track is a handler that follows each request's body until it is read, or the handler ends.
func (b *bodies) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		body := &trackedBody{r.Body, b, http.NewResponseController(w), fromBrowser(r.URL.Path)}
		b.mu.Lock()
		b.open[body] = struct{}{}
		switch {
		case !b.until.IsZero():
			_ = body.control.SetReadDeadline(b.until)
		case body.timed:
			_ = body.control.SetReadDeadline(time.Now().Add(browserBodyTime))
		}
		b.mu.Unlock()
		defer b.remove(body)
		r.Body = body
		next.ServeHTTP(w, r)
	})
}

// cut ends the reading of every body at a time.
func (b *bodies) cut(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = until
	for body := range b.open {
		_ = body.control.SetReadDeadline(until) // a connection that is gone has none
	}
}

// Stop ends the server: it accepts no more connections, bodies that do not arrive within a
// second are cut, and other requests may take until ctx ends. Then their connections are
// closed.
func (s Server) Stop(ctx context.Context) {
	s.bodies.cut(time.Now().Add(bodyGrace))
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// list returns the bodies that are being read.
func (b *bodies) list() (all []*trackedBody) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for body := range b.open {
		all = append(all, body)
	}
	return all
}
