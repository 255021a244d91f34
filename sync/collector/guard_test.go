package collector

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestGuardHosts(t *testing.T) {
	t.Parallel()
	named := serve(t, func(c *Config) { c.Hosts = []string{"Calls.Example.com:8443", "[::1]:8425", "127.0.0.1"} })
	loopback := serve(t)
	for _, c := range []struct {
		s    *site
		host string
		want int
	}{
		{named, "calls.example.com", 200}, {named, "CALLS.example.COM:443", 200}, {named, "calls.example.com.", 200}, {named, "[::1]", 200}, {named, "[::1]:9", 200},
		{named, "evil.test", 421}, {named, "calls.example.com.evil.test", 421}, {named, "localhost", 421}, {named, "xcalls.example.com", 421}, {named, "calls.example.com@evil.test", 421},
		{loopback, "localhost:8425", 200}, {loopback, "127.0.0.1", 200}, {loopback, "evil.test:8425", 421}, {loopback, "127.0.0.1.nip.io", 421},
	} {
		for _, path := range []string{"/healthz", "/v1/parked", "/callpoint.js", browserPath()} {
			resp, _ := c.s.request(t, "GET", path, "", "Host", c.host)
			want := c.want
			if want == 200 && strings.HasPrefix(path, "/m/") {
				want = 204
			}
			if resp.StatusCode != want {
				t.Errorf("Host %s at %s: %d, want %d", c.host, path, resp.StatusCode, want)
			}
		}
	}
	// HTTP/1.0 knows requests without a Host.
	conn, err := net.Dial("tcp", named.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /healthz HTTP/1.0\r\n\r\n")
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 421 ") {
		t.Errorf("no Host: %s", line)
	}
}

func TestGuardToken(t *testing.T) {
	t.Parallel()
	const token = "s3cret-tökén"
	s := serve(t, func(c *Config) { c.Token = token })
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, c := range []struct {
		auth string
		want int
	}{
		{"Bearer " + token, 200}, {"bearer  " + token, 200}, {basic("", token), 200}, {basic("anybody", token), 200},
		{"", 401}, {"Bearer", 401}, {"Bearer ", 401}, {"Bearer x", 401}, {"Bearer " + token + "x", 401}, {"Bearer " + token[:5], 401},
		{token, 401}, {"Digest " + token, 401}, {basic(token, ""), 401}, {basic(token, "x"), 401}, {"Basic " + token, 401},
	} {
		resp, text := s.request(t, "GET", "/v1/parked", "", "Authorization", c.auth)
		if resp.StatusCode != c.want || (text == "reached") != (c.want == 200) {
			t.Errorf("%q: %d", c.auth, resp.StatusCode)
		}
		if c.want == 401 && len(resp.Header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%q: a browser is not asked for the password", c.auth)
		}
	}
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/healthz": 200, "/callpoint.js": 200, browserPath(): 204,
		"/": 401, "/metrics": 401, "/m/": 401, "/m/ipv/": 401, "/m/x": 401, "/healthz/": 401, "/m/ipv/../../v1/parked": 401, "/m/%2e%2e/v1/parked": 401, "//healthz": 401,
	} {
		if resp, _ := s.request(t, "GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s without a token: %d, want %d", path, resp.StatusCode, want)
		}
	}
	before := s.store.calls
	if resp, _ := s.request(t, "POST", "/v1/events", view(), "Content-Type", "application/json"); resp.StatusCode != 401 || s.store.calls != before {
		t.Errorf("POST without a token: %d", resp.StatusCode)
	}
	open := serve(t)
	if resp, _ := open.request(t, "GET", "/v1/parked", ""); resp.StatusCode != 200 {
		t.Errorf("no token configured: %d", resp.StatusCode)
	}
}

func TestGuardCrossSite(t *testing.T) {
	t.Parallel()
	s := serve(t)
	host := s.srv.Listener.Addr().String()
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"a program", nil, 200},
		{"the page itself", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + host}, 200},
		{"typed by hand", []string{"Sec-Fetch-Site", "none"}, 200},
		{"another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403},
		{"a neighbour", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.com"}, 403},
		{"an old browser", []string{"Origin", "https://evil.test"}, 403},
		{"a sandboxed frame", []string{"Origin", "null"}, 403},
		{"rebinding", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.test", "Host", "evil.test"}, 421},
	} {
		headers := append([]string{"Content-Type", "application/json"}, c.headers...)
		for _, path := range []string{"/v1/events", "/v1/sync"} {
			if resp, _ := s.request(t, "POST", path, view(), headers...); resp.StatusCode != c.want {
				t.Errorf("%s to %s: %d, want %d", c.name, path, resp.StatusCode, c.want)
			}
		}
	}
	// What a page can send without asking is refused by its type, token or not.
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=latin1", "text/json", "a/b/c"} {
		if resp, _ := s.request(t, "POST", "/v1/events", view("sequence", "77"), "Content-Type", kind); resp.StatusCode != 415 {
			t.Errorf("Content-Type %q: %d", kind, resp.StatusCode)
		}
	}
}

func TestClientAddr(t *testing.T) {
	t.Parallel()
	trusted := prefixes("127.0.0.0/8", "::1/128", "10.0.0.0/8")
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.7:1", nil, "203.0.113.7"},
		{"203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.7"}, // nobody trusts this peer
		{"127.0.0.1:1", nil, "127.0.0.1"},
		{"127.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"1.1.1.1, 203.0.113.7"}, "203.0.113.7"}, // 1.1.1.1 is what the visitor claims
		{"127.0.0.1:1", []string{"1.1.1.1", "203.0.113.7,10.2.3.4"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"10.2.3.4, 10.2.3.5"}, "10.2.3.4"},
		{"127.0.0.1:1", []string{"203.0.113.7, unknown"}, "127.0.0.1"},
		{"127.0.0.1:1", []string{"203.0.113.7:5555"}, "203.0.113.7"},
		{"127.0.0.1:1", []string{"[2001:db8::1]:5555"}, "2001:db8::1"},
		{"127.0.0.1:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"[::1]:1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"@", []string{"203.0.113.7"}, "203.0.113.7"}, // a Unix socket
		{"", nil, "127.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := clientAddr(r, trusted); got.String() != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

// However many addresses come, memory holds two generations of them.
func TestClientLimitsAreBounded(t *testing.T) {
	t.Parallel()
	c := newClientLimits(1, 2, 0)
	first := netip.MustParseAddr("203.0.113.7")
	for range 2 {
		if !c.allow(first, noon) {
			t.Fatal("refused within the burst")
		}
	}
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range 3 * maxClients {
		c.allow(addr, noon)
		addr = addr.Next()
		if i%1000 == 0 && c.allow(first, noon) {
			t.Fatalf("whoever keeps asking was forgotten after %d others", i)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*maxClients {
		t.Errorf("%d addresses remembered", n)
	}
}

func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRepeats()
	for i := range int64(5 * maxRepeats) {
		r.first("view", "v", "u", "", i, i)
	}
	if n := len(r.young) + len(r.old); n > 2*maxRepeats {
		t.Errorf("%d requests remembered", n)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Retention: -1, MaxBody: -1})
	if want := "collector: no Store\nRetention is negative\nMaxBody is negative"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
