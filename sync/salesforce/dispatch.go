package salesforce

import (
	"errors"
	"net/http"
	"strings"
	"sync"
)

// go-salesforce sends everything through http.DefaultClient and takes neither
// a client nor, for logins, a context. One dispatcher under that client sorts
// its requests out again, so that any number of Clients work side by side:
// API calls name their call in the request's context, logins are known by
// the private host name of their flight, and all else is not ours.
type dispatcher struct {
	next   http.RoundTripper
	logins sync.Map // host → *flight, while the login runs
}

// hostSuffix is a name that the DNS will never know (RFC 2606): a request
// that slipped past the dispatcher could reach nobody.
const hostSuffix = ".callpoint.invalid"

// dispatch is set up with the package, before any goroutine could use
// http.DefaultClient: done later it would be a data race with them.
var dispatch = install()

func install() *dispatcher {
	d := &dispatcher{next: http.DefaultClient.Transport}
	http.DefaultClient.Transport = d
	return d
}

var errReplaced = errors.New("something replaced http.DefaultClient.Transport, below which callpoint's connection to Salesforce lies")

func (d *dispatcher) check() error {
	if http.DefaultClient.Transport != http.RoundTripper(d) {
		return errReplaced
	}
	return nil
}

func (d *dispatcher) RoundTrip(req *http.Request) (*http.Response, error) {
	if cl := callOf(req.Context()); cl != nil {
		return cl.client.roundTrip(req, cl)
	}
	if strings.HasSuffix(req.URL.Host, hostSuffix) {
		if f, ok := d.logins.Load(req.URL.Host); ok {
			return f.(*flight).roundTrip(req)
		}
		closeBody(req)
		return nil, errors.New("a login that is over sent a request")
	}
	if d.next != nil {
		return d.next.RoundTrip(req)
	}
	return http.DefaultTransport.RoundTrip(req)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
