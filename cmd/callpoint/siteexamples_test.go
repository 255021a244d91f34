package main

import (
	"fmt"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// freePort is a port of loopback that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// curlTo has the curl of shell find every host at one address, whatever its certificate.
func curlTo(t *testing.T, dir, address string) {
	t.Helper()
	rc := fmt.Sprintf("connect-to = \"::%s\"\ninsecure\nfail\n", address)
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
}

// siteExample runs nginx by the example in front of the daemon, and the request with which
// the document tries it.
func siteExample(t *testing.T, text string) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	b, dir, port := newBench(t, strings.TrimSpace(exampleText(t, "docs/collector.md: CALLPOINT_HOSTS"))), t.TempDir(), freePort(t)
	d := b.daemon()
	cert, key := selfSigned(t, dir, "www.example.com")
	tls := fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", cert, key)
	if !strings.Contains(text, "server {") {
		text = "server {\n listen 443 ssl;\n # ... certificates and the site itself\n" + text + "}\n"
	}
	text = strings.NewReplacer("listen 443", "listen 127.0.0.1:"+port, "127.0.0.1:8425", strings.TrimPrefix(d.url, "http://"),
		"# ... certificates and the site itself", tls).Replace(text)
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	conf := fmt.Sprintf("daemon off; pid %s/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n", dir, temp, text)
	if os.Getuid() == 0 {
		conf = "user root;\n" + conf
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(nginx, "-t", "-e", "stderr", "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	c := exec.Command(nginx, "-e", "stderr", "-c", path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Signal(os.Interrupt); _ = c.Wait() })
	waitFor(t, "nginx", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	curlTo(t, dir, "127.0.0.1:"+port)
	if out := b.shell(dir, exampleText(t, "docs/collector.md: curl -si")); !strings.Contains(out, " 204") {
		t.Errorf("the document's request got\n%s", out)
	}
	if out := b.shell(dir, "curl -s https://www.example.com/callpoint.js"); !strings.Contains(out, "_biz_uid") {
		t.Errorf("no script, but\n%s", out)
	}
	d.stop()
}

// published runs a daemon with a token behind TLS, as calls.example.com.
func published(t *testing.T) (b *bench, dir string) {
	t.Helper()
	b, dir = newBench(t, "CALLPOINT_HOSTS=calls.example.com", "CALLPOINT_TOKEN=secret"), t.TempDir()
	d := b.daemon()
	t.Cleanup(d.stop)
	to, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }})
	t.Cleanup(srv.Close)
	curlTo(t, dir, strings.TrimPrefix(srv.URL, "https://"))
	return b, dir
}

// recent moves the day of an example to yesterday: what is older than the retention is refused.
func recent(text string) string {
	return regexp.MustCompile(`\d{4}-\d\d-\d\dT`).ReplaceAllString(text, time.Now().UTC().AddDate(0, 0, -1).Format("2006-01-02T"))
}

func eventsExample(t *testing.T, text string) {
	b, dir := published(t)
	want := exampleText(t, `docs/collector.md: {"accepted":2`)
	if got := b.shell(dir, recent(text)); got != want {
		t.Errorf("the answer is\n%swant\n%s", got, want)
	}
}

func sessionsExample(t *testing.T, text string) {
	b, dir := published(t)
	if got := b.shell(dir, recent(text)); !strings.Contains(got, `"accepted":1`) {
		t.Errorf("the answer is %s", got)
	}
}
