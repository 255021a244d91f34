package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What would be accepted and never work is refused at the start, by its name.
func TestUselessValuesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		says        string // empty: it is accepted
	}{
		{"CALLPOINT_HOSTS", "www.example.com,calls.example.com:8443,192.0.2.1,[2001:db8::1]:80,xn--mller-kva.example", ""},
		{"CALLPOINT_HOSTS", "https://www.example.com", "has a scheme"},
		{"CALLPOINT_HOSTS", "www.example.com/", "more than a name"},
		{"CALLPOINT_HOSTS", "*.example.com", "wildcard"},
		{"CALLPOINT_HOSTS", "müller.example", "not ASCII"},
		{"CALLPOINT_HOSTS", "www example.com", "not a host name"},
		{"CALLPOINT_HOSTS", "user@example.com", "more than a name"},
		{"CALLPOINT_OWN_DOMAINS", "example.com", ""},
		{"CALLPOINT_OWN_DOMAINS", "https://example.com", "has a scheme"},
		{"CALLPOINT_OWN_DOMAINS", "*.example.com", "wildcard"},
		{"CALLPOINT_IGNORED_REFERRERS", "pay.example.com/x", "more than a name"},
		{"CALLPOINT_TOKEN", "0123456789abcdef-._~+/=", ""},
		{"CALLPOINT_TOKEN", "two words", "blank"},
		{"CALLPOINT_TOKEN", "schlüssel", "not ASCII"},
		{"CALLPOINT_FORWARD_TOKEN", "a\tb", "blank"},
		{"CALLPOINT_LISTEN", "localhost:0", ""},
		{"CALLPOINT_LISTEN", "[::1]:8425", ""},
		{"CALLPOINT_LISTEN", "unix:s", ""},
		{"CALLPOINT_LISTEN", "8425", "not HOST:PORT"},
		{"CALLPOINT_LISTEN", "127.0.0.1", "not HOST:PORT"},
		{"CALLPOINT_LISTEN", "127.0.0.1:99999", "no port"},
		{"CALLPOINT_LISTEN", "http://127.0.0.1:8425", "scheme"},
		{"CALLPOINT_LISTEN", "unix:", "no socket"},
		{"CALLPOINT_BIZIBLE_ID_FIELD", "My Field", "not an API name"},
		{"CALLPOINT_TOUCHPOINT_OBJECT", "Touchpoint;", "not an API name"},
		{"CALLPOINT_EXTERNAL_ID_FIELD", "a.b", "not an API name"},
		{"CALLPOINT_STORE", "/tmp/", "is a directory"},
		{"CALLPOINT_ADDRESS_SHARE", "0%", "refuse every page view"},
	} {
		_, err := loadConfig([]string{c.name + "=" + c.value}, "")
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.name)):
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.says)
		case strings.HasSuffix(c.name, "TOKEN") && err != nil && strings.Contains(err.Error(), c.value):
			t.Errorf("the error holds the token: %v", err)
		}
	}
}

// An id may be anything, also what is special in a path.
func TestIdsThatAreSpecialInPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	for _, id := range []string{".", "..", "/", "//", "a/b", "../livez", "%2f", "?x", "#x", "a b", ";", "+"} {
		status, _ := d.request(http.MethodPost, "/v1/events", view(id, yesterday("12:00:00").Add(time.Hour), "https://www.example.com/", ""))
		if status != http.StatusOK {
			continue // not a plausible id at all
		}
		path := "/v1/visitors/" + pathEscape(id)
		if status, answer := d.request(http.MethodGet, path, nil); status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, answer)
		}
		if out, errs, code := b.run("forget", "--", id); code != exitDone {
			t.Errorf("forget %q: exit %d\n%s%s", id, code, out, errs)
		}
		if status, _ = d.request(http.MethodGet, path, nil); status != http.StatusNotFound {
			t.Errorf("GET %s after forget: %d", path, status)
		}
		if back, err := url.PathUnescape(pathEscape(id)); err != nil || back != id {
			t.Errorf("%q comes back as %q: %v", id, back, err)
		}
	}
	d.stop()
}
