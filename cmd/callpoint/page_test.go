package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"

	"golang.org/x/net/html"
)

// The status page through the real daemon.

// page fetches a page and parses it.
func (d *running) page(path string) (int, string, *html.Node, http.Header) {
	d.b.t.Helper()
	resp, err := http.Get(d.url + path)
	if err != nil {
		d.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		d.b.t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		d.b.t.Fatal(err)
	}
	return resp.StatusCode, b.String(), root, resp.Header
}

const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>`

// hostileDaemon shows calls whose Subject, page and refusal come from strangers.
func hostileDaemon(t *testing.T) (b *bench, d *running, matched, parked string) {
	t.Helper()
	b = listenBench(t)
	d = b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/"+url.PathEscape(hostile)+"?utm_campaign="+url.QueryEscape(hostile), "https://www.google.com/"),
		view(visitorB, yesterday("12:00:00"), "https://www.example.com/", ""))
	matched = b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "Subject": hostile})
	b.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: touchpoints, Times: -1, RowError: &orgsim.RowError{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: hostile}})
	parked = b.task(yesterday("12:11:00"), map[string]any{"bizible2__BizibleId__c": visitorB, "Type": "<script>alert(1)</script>"})
	d.sync()
	return b, d, matched, parked
}

func TestPagesEscapeEverything(t *testing.T) {
	t.Parallel()
	b, d, matched, parked := hostileDaemon(t)
	for path, says := range map[string]string{"/": "Refused by Salesforce", "/calls": hostile, "/calls?reason=matched": hostile, "/calls/" + matched: hostile, "/calls/" + parked: hostile} {
		status, raw, root, header := d.page(path)
		if status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
		if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if strings.Contains(raw, hostile) {
			t.Errorf("%s carries the hostile text as it came", path)
		}
		var text strings.Builder
		for n := range root.Descendants() {
			switch {
			case n.Type == html.TextNode:
				text.WriteString(n.Data)
			case n.Data == "script" || n.Data == "style" || n.Data == "img" || n.Data == "iframe":
				t.Errorf("%s has a <%s>", path, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("%s has the attribute %s on <%s>", path, a.Key, n.Data)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && a.Val != "" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, b.url+"/00") {
					t.Errorf("%s leads outside: %s", path, a.Val)
				}
			}
		}
		if !strings.Contains(text.String(), says) {
			t.Errorf("%s does not show %q", path, says)
		}
	}
	if status, _, _, _ := d.page("/calls/00THs00000Nobody"); status != http.StatusNotFound {
		t.Errorf("an unknown call: %d", status)
	}
	if status, _, _, _ := d.page("/calls?reason=" + url.QueryEscape(hostile)); status != http.StatusBadRequest {
		t.Errorf("an unknown reason: %d", status)
	}
	d.stop()
}

// Every link of the page leads somewhere.
func TestLinksOfTheStatusPage(t *testing.T) {
	t.Parallel()
	_, d, _, _ := hostileDaemon(t)
	_, _, root, _ := d.page("/")
	links := map[string]bool{}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "href" && strings.HasPrefix(a.Val, "/") {
				links[a.Val] = true
			}
		}
	}
	if len(links) < 6 {
		t.Errorf("only %d links", len(links))
	}
	for link := range links {
		if status, _, _, _ := d.page(link); status != http.StatusOK {
			t.Errorf("%s: %d", link, status)
		}
	}
	d.stop()
}

func TestRetryFromThePage(t *testing.T) {
	t.Parallel()
	b, d, matched, _ := hostileDaemon(t)
	post := func(site string, form url.Values) (int, string) {
		req, err := http.NewRequest(http.MethodPost, d.url+"/parked/retry", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", site)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	b.org.ClearFaults()
	if status, _ := post("cross-site", nil); status != http.StatusForbidden {
		t.Errorf("from another site: %d, want 403", status)
	}
	if n := len(b.org.Records(touchpoints)); n != 0 {
		t.Errorf("%d touchpoints stand after a refused form, want none", n)
	}
	if status, to := post("same-origin", url.Values{"key": {"callpoint_" + matched}}); status != http.StatusSeeOther || to != "/?released=1" {
		t.Errorf("one: %d %s", status, to)
	}
	if n := len(b.org.Records(touchpoints)); n != 1 {
		t.Errorf("%d touchpoints stand after one was tried again, want 1", n)
	}
	if status, _ := post("same-origin", nil); status != http.StatusSeeOther {
		t.Errorf("all: %d", status)
	}
	if n := len(b.org.Records(touchpoints)); n != 2 {
		t.Errorf("%d touchpoints stand after all were tried again, want 2", n)
	}
	if _, raw, _, _ := d.page("/?released=1"); strings.Contains(raw, "Refused by Salesforce") || !strings.Contains(raw, "Tried again. Salesforce accepted every record.") {
		t.Error("the page still shows refusals, or does not say what was done")
	}
	d.stop()
}

// browse opens a page in Chromium and gives back its DOM and what the console said.
func browse(t testing.TB, url string, flags ...string) (dom, console string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the page was not opened in a browser")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--dump-dom"}, flags...)
	c := exec.CommandContext(ctx, chromium, append(args, url)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	var lines []string
	for line := range strings.Lines(errs.String()) {
		if strings.Contains(line, "CONSOLE") {
			lines = append(lines, line)
		}
	}
	return out.String(), strings.Join(lines, "")
}

// A browser takes the page without a complaint: no blocked style, no failed request.
func TestStatusPageInChromium(t *testing.T) {
	t.Parallel()
	// The control: the same policy with something that it forbids must be complained about.
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'")
		fmt.Fprint(w, `<p style="color:red">x</p><script>document.title = "ran"</script>`)
	}))
	t.Cleanup(control.Close)
	if dom, console := browse(t, control.URL); !strings.Contains(console, "Content Security Policy") || strings.Contains(dom, "ran</title>") {
		t.Fatalf("the control is not complained about: %s\n%s", console, dom)
	}
	_, d, matched, _ := hostileDaemon(t)
	for _, path := range []string{"/", "/calls", "/calls/" + matched} {
		dom, console := browse(t, d.url+path)
		if console != "" || !strings.Contains(dom, "</footer>") {
			t.Errorf("%s: the console says %q", path, console)
		}
	}
	shot := filepath.Join(t.TempDir(), "page.png")
	browse(t, d.url+"/", "--window-size=500,2000", "--screenshot="+shot)
	if fi, err := os.Stat(shot); err != nil || fi.Size() < 20000 {
		t.Errorf("screenshot: %v %v", fi, err)
	}
	d.stop()
}
