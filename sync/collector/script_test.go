package collector

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callpoint/mapping"
)

func TestScriptIsServed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	resp, text := s.request(t, "GET", "/callpoint.js", "")
	h := resp.Header
	if resp.StatusCode != 200 || text != string(scriptText) || h.Get("Content-Type") != "text/javascript; charset=utf-8" ||
		h.Get("Cache-Control") != "public, max-age=3600" || h.Get("ETag") == "" || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", resp.StatusCode, h)
	}
	if len(text) > 10<<10 {
		t.Errorf("the script has grown to %d bytes", len(text))
	}
	if resp, text := s.request(t, "GET", "/callpoint.js", "", "If-None-Match", h.Get("ETag")); resp.StatusCode != 304 || text != "" {
		t.Errorf("with its ETag: %d", resp.StatusCode)
	}
	if resp, text := s.request(t, "HEAD", "/callpoint.js", ""); resp.StatusCode != 200 || text != "" {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
}

// chromium is the browser's path; without one the test is skipped and proves nothing.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium found: callpoint.js is not tested in a browser")
	return ""
}

// website is a site with callpoint.js on it, and a collector on another origin.
type website struct {
	*site
	pages *httptest.Server
	mu    sync.Mutex
	sent  []string // what reached /m/*, guarded by mu

	arrived chan struct{} // one for each answer of /m/*
}

// newWebsite serves html at every path of the site. TAG in it becomes the script's address,
// ORIGIN the collector's.
func newWebsite(t *testing.T, html string) *website {
	w := &website{site: serve(t, func(c *Config) { c.Now = time.Now }), arrived: make(chan struct{}, 100)}
	collector := w.srv.Config.Handler
	w.srv.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/m/") {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			w.mu.Lock()
			w.sent = append(w.sent, r.Method+" "+r.URL.RequestURI()+" "+string(body))
			w.mu.Unlock()
			defer func() { w.arrived <- struct{}{} }()
		}
		collector.ServeHTTP(rw, r)
	})
	w.pages = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(rw, strings.ReplaceAll(`<!doctype html><title>A page</title><script>
			window.errors = [];
			window.addEventListener('error', function (e) { errors.push(e.message); });
			window.addEventListener('unhandledrejection', function (e) { errors.push('rejected: ' + e.reason); });
			function later(ms, f) { setTimeout(f, ms); }
			function cookie() { document.cookie = '_biz_uid=7059E81415f34f7bbaf40fe32fdcba21; path=/'; }
			window.addEventListener('load', function () { later(25000, function () {
				document.documentElement.setAttribute('data-errors', errors.join('; ') || 'none'); }); });
			</script>`+strings.ReplaceAll(html, "ORIGIN", w.srv.URL), "TAG", w.srv.URL+"/callpoint.js"))
	}))
	t.Cleanup(w.pages.Close)
	return w
}

// start prepares a browser that opens path.
func (w *website) start(ctx context.Context, t *testing.T, browser, path string, flags ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	profile, err := os.MkdirTemp("", "callpoint-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	// A headless browser calls itself one, and is dropped as a bot; this one visits.
	flags = append(flags, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+profile,
		"--user-agent="+safari, w.pages.URL+path)
	cmd := exec.CommandContext(ctx, browser, flags...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	return cmd, stderr
}

// visit opens path and lets half a minute of the page's own time pass.
func (w *website) visit(t *testing.T, browser, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd, stderr := w.start(ctx, t, browser, path, "--virtual-time-budget=30000", "--dump-dom")
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if !bytes.Contains(dom, []byte(`data-errors="none"`)) {
		t.Errorf("the page saw errors: %s", dom)
	}
}

// travel opens a path from which the page goes elsewhere, until n requests have come.
// Chromium's virtual time does not survive a navigation, so this takes real time.
func (w *website) travel(t *testing.T, browser, path string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd, stderr := w.start(ctx, t, browser, path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range n {
		select {
		case <-w.arrived:
		case <-ctx.Done():
			t.Errorf("still waiting for requests after a minute\n%s", stderr)
		}
	}
	cancel()
	cmd.Wait() // it was asked to stop; its exit status does not matter
}

// stored lists the events by time: kind, path and the referrer's path.
func (w *website) stored() (list []string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	var events []mapping.Event
	for _, e := range w.store.events {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b mapping.Event) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return int(a.Sequence - b.Sequence)
	})
	path := func(s string) string {
		u, err := url.Parse(s)
		if err != nil || s == "" {
			return "-"
		}
		u.Scheme, u.Host = "", ""
		return u.String()
	}
	for _, e := range events {
		list = append(list, fmt.Sprintf("%s %s from %s", e.Kind, path(e.URL), path(e.Referrer)))
	}
	return list
}

const tagged = `<script>cookie()</script><script src="TAG" async></script>`

func TestScriptInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: callpoint.js is not tested in a browser")
	}
	browser := chromium(t)
	for _, c := range []struct {
		name, html, path string
		want             []string
	}{
		{"a page", tagged, "/a?utm_source=google#top", []string{"view /a?utm_source=google#top from -"}},
		{"the next page", tagged + `<script>if (location.pathname === '/a') later(500, function () { location.href = '/b'; })</script>`, "/a",
			[]string{"view /a from -", "view /b from /a"}},
		{"the tag twice", tagged + `<script src="TAG"></script>`, "/a", []string{"view /a from -"}},
		{"a single-page app", `<script>cookie()</script><script src="TAG"></script><script>
			later(1000, function () { history.pushState({}, '', '/two?x=1'); });
			later(2000, function () { history.replaceState({}, '', '/two?x=1'); });
			later(3000, function () { history.replaceState({}, '', '/three'); });
			later(4000, function () { location.hash = 'section'; });
			later(5000, function () { location.hash = '#/route'; });
			later(6000, function () { history.pushState({}, '', '/gone'); history.pushState({}, '', '/four'); });
			later(7000, function () { history.go(-2); });</script>`, "/one",
			[]string{"view /one from -", "view /two?x=1 from /one", "view /three from /two?x=1", "view /three#/route from /three",
				"view /four from /three#/route", "view /three#/route from /four"}},
		{"forms", tagged + `<form id=a action="/x"><input name=email value=jane@example.com><input name=q value=private></form>
			<form id=b data-callpoint=off></form><form id=c role=search></form><form id=d><input type=search></form><form id=e><input type=password></form>
			<script>
			document.addEventListener('submit', function (e) { e.preventDefault(); });
			later(1000, function () { ['a', 'b', 'c', 'd', 'e'].forEach(function (id) { document.getElementById(id).requestSubmit(); }); });
			later(2000, function () { callpoint.form(); });</script>`, "/contact",
			[]string{"view /contact from -", "form /contact from -", "form /contact from -"}},
		{"a form that leaves the page", tagged + `<form id=a action="/thanks"><input name=email value=jane@example.com></form>
			<script>if (location.pathname === '/contact') later(1000, function () { document.getElementById('a').requestSubmit(); });</script>`, "/contact",
			[]string{"view /contact from -", "form /contact from -", "view /thanks?email=scrubbed from /contact"}},
		{"the cookie comes late", `<script src="TAG"></script><script>later(3000, cookie)</script>`, "/a", []string{"view /a from -"}},
		{"the cookie never comes", `<script src="TAG"></script><script>
			var timers = 0, set = window.setTimeout;
			window.setTimeout = function (f, ms) { timers++; return set(f, ms); };
			set(function () { if (timers > 25) errors.push(timers + ' timers'); }, 20000);</script>`, "/a", nil},
		{"consent awaited", `<script>cookie()</script><script src="TAG" data-requires-user-consent="true"></script>`, "/a", nil},
		{"consent awaited, settings apart", `<script>cookie()</script><span id="callpoint-settings" data-requires-user-consent="true"></span><script src="TAG"></script>`, "/a", nil},
		{"consent given", `<script>cookie()</script><script src="TAG" data-requires-user-consent="true"></script>
			<script>later(15000, function () { callpoint.consent(true); })</script>`, "/a", []string{"view /a from -"}},
		{"consent given before the script", `<script>cookie(); window.callpoint = { consented: true };</script><script src="TAG" data-requires-user-consent="true"></script>`, "/a",
			[]string{"view /a from -"}},
		{"consent remembered", `<script>cookie(); if (location.pathname === '/b') localStorage.setItem('seen', localStorage.getItem('callpoint_consent'));</script>
			<script src="TAG" data-requires-user-consent="true"></script>
			<script>if (location.pathname === '/a') later(500, function () { callpoint.consent(true); later(500, function () { location.href = '/b'; }); });</script>`, "/a",
			[]string{"view /a from -", "view /b from /a"}},
		{"consent refused", tagged + `<script>later(1000, function () { callpoint.consent(false); history.pushState({}, '', '/b'); later(1000, callpoint.view); })</script>`, "/a",
			[]string{"view /a from -"}},
		{"consent refused, then given", `<script>cookie()</script><script src="TAG" data-requires-user-consent="true"></script><script>
			later(1000, function () { callpoint.consent(false); history.pushState({}, '', '/b'); });
			later(2000, function () { callpoint.consent(true); });
			later(3000, function () { history.pushState({}, '', '/c'); });</script>`, "/a", []string{"view /c from /b"}},
		{"Global Privacy Control", `<script>cookie(); Object.defineProperty(navigator, 'globalPrivacyControl', { value: true });</script><script src="TAG"></script>`, "/a", nil},
		{"Global Privacy Control, yet consent", `<script>cookie(); Object.defineProperty(navigator, 'globalPrivacyControl', { value: true });</script><script src="TAG"></script>
			<script>later(100, function () { callpoint.consent(true); })</script>`, "/a", []string{"view /a from -"}},
		{"consent in words", `<script>cookie()</script><script src="TAG" data-requires-user-consent></script>
			<script>later(1000, function () { callpoint.consent('granted'); })</script>`, "/a", []string{"view /a from -"}},
		{"consent that is not understood", `<script>cookie()</script><script src="TAG"></script><script>
			later(1000, function () { ['denied', 'false', '0', 'no', 'maybe', null, undefined, {}, NaN, ''].forEach(function (no) {
				callpoint.consent(true); callpoint.consent(no);
				if (localStorage.getItem('callpoint_consent') !== '0') errors.push('consent by ' + no);
				callpoint.view(); });
			});</script>`, "/a", []string{"view /a from -"}},
		{"consent awaited, bare", `<script>cookie()</script><script src="TAG" data-requires-user-consent></script>`, "/a", nil},
		{"consent awaited, capitals", `<script>cookie()</script><script src="TAG" data-requires-user-consent="TRUE"></script>`, "/a", nil},
		{"consent awaited, not understood", `<script>cookie()</script><script src="TAG" data-requires-user-consent="ja"></script>`, "/a", nil},
		{"consent awaited, bare settings apart", `<script>cookie()</script><span id="callpoint-settings" data-requires-user-consent></span><script src="TAG"></script>`, "/a", nil},
		{"consent not awaited", `<script>cookie()</script><script src="TAG" data-requires-user-consent="false"></script>`, "/a", []string{"view /a from -"}},
		{"consent refused before the script", `<script>cookie(); window.callpoint = { consented: 'denied' };</script><script src="TAG"></script>`, "/a", nil},
		{"consent refused in another tab", tagged + `<script>
			if (location.pathname === '/other') later(100, function () { localStorage.setItem('callpoint_consent', '0'); });
			else document.write('<iframe src="/other"></iframe>');
			if (location.pathname === '/a') later(2000, function () { callpoint.view(); callpoint.form(); });</script>`, "/a", []string{"view /a from -", "view /other from /a"}},
		{"consent refused elsewhere, no event", tagged + `<script>later(1000, function () { localStorage.setItem('callpoint_consent', '0'); callpoint.view(); })</script>`, "/a",
			[]string{"view /a from -"}},
		{"consent given in another tab", `<script>cookie()</script><script src="TAG" data-requires-user-consent></script><script>
			later(1000, function () { localStorage.setItem('callpoint_consent', '1'); dispatchEvent(new StorageEvent('storage', { key: 'callpoint_consent', newValue: '1' })); });</script>`, "/a",
			[]string{"view /a from -"}},
		{"prerendered and never shown", `<script>cookie(); Object.defineProperty(document, 'prerendering', { value: true });</script><script src="TAG"></script><script>
			later(100, function () { history.replaceState({}, '', '/b'); callpoint.view(); callpoint.consent(true); });</script>`, "/a", nil},
		{"prerendered, routed, then shown", `<script>cookie(); var prerendering = true; Object.defineProperty(document, 'prerendering', { get: function () { return prerendering; } });</script>
			<script src="TAG"></script><script>
			later(100, function () { history.replaceState({}, '', '/b'); });
			later(1000, function () { history.replaceState({}, '', '/c'); prerendering = false; document.dispatchEvent(new Event('prerenderingchange')); });</script>`, "/a",
			[]string{"view /c from -"}},
		{"navigation.navigate", tagged + `<script>
			navigation.addEventListener('navigate', function (e) { if (e.canIntercept) e.intercept({ handler: function () { return new Promise(function (done) { later(500, done); }); } }); });
			later(1000, function () { navigation.navigate('/two'); });
			later(2000, function () { navigation.navigate('/two', { history: 'replace' }); });
			later(3000, function () { document.getElementById('link').click(); });
			later(4000, function () { navigation.back(); });</script><a id=link href="/three">x</a>`, "/one",
			[]string{"view /one from -", "view /two from /one", "view /three from /two", "view /two from /three"}},
		{"forms in shadow trees", `<div id=old><template shadowrootmode=open><form id=f1><input name=a></form><div><template shadowrootmode=open><form id=f2></form></template></div></template></div>` + tagged + `
			<div id=host></div><div id=box></div><script>
			function stop(e) { e.preventDefault(); }
			later(1000, function () { var f = old.shadowRoot.getElementById('f1'); f.addEventListener('submit', stop); f.requestSubmit(); });
			later(2000, function () { var f = old.shadowRoot.querySelector('div').shadowRoot.getElementById('f2'); f.addEventListener('submit', stop); f.requestSubmit(); });
			later(3000, function () { var root = host.attachShadow({ mode: 'open' }); root.innerHTML = '<form></form>'; root.firstChild.addEventListener('submit', stop); root.firstChild.requestSubmit(); });
			later(4000, function () { var root = box.attachShadow({ mode: 'closed' }); root.innerHTML = '<form></form>'; root.firstChild.addEventListener('submit', stop); root.firstChild.requestSubmit(); });</script>`, "/a",
			[]string{"view /a from -", "form /a from -", "form /a from -", "form /a from -", "form /a from -"}},
		{"a form that a script sends after its event", tagged + `<iframe name=sink></iframe><form id=a target=sink action="about:blank"></form><script>
			a.addEventListener('submit', function (e) { e.preventDefault(); later(2000, function () { a.submit(); }); });
			later(1000, function () { a.requestSubmit(); });</script>`, "/contact", []string{"view /contact from -", "form /contact from -"}},
		{"a form that a script sends without an event", tagged + `<iframe name=sink></iframe><form id=a target=sink action="about:blank"></form><script>
			later(1000, function () { a.submit(); });</script>`, "/contact", []string{"view /contact from -", "form /contact from -"}},
		{"a form sent by script that is off", tagged + `<iframe name=sink></iframe><form id=a target=sink action="about:blank" data-callpoint=off></form><script>
			later(1000, function () { a.submit(); });</script>`, "/contact", []string{"view /contact from -"}},
		{"a form that fails its validation", tagged + `<form id=a><input required></form><form id=b novalidate><input id=bi required></form><form id=c><input id=ci></form><script>
			b.addEventListener('submit', function (e) { e.preventDefault(); });
			c.addEventListener('submit', function (e) { e.preventDefault(); ci.setAttribute('aria-invalid', ci.value ? 'false' : 'true'); });
			later(1000, function () { a.requestSubmit(); b.requestSubmit(); c.requestSubmit(); });
			later(3000, function () { bi.value = ci.value = 'x'; b.requestSubmit(); });
			later(5000, function () { c.requestSubmit(); });</script>`, "/contact",
			[]string{"view /contact from -", "form /contact from -", "form /contact from -"}},
		{"a form whose fields have awkward names", tagged + `<form id=a><input name=getAttribute><input name=querySelector><input name=matches></form><form id=b><input name=getAttribute><input type=password></form><script>
			document.addEventListener('submit', function (e) { e.preventDefault(); });
			later(1000, function () { a.requestSubmit(); b.requestSubmit(); });</script>`, "/a", []string{"view /a from -", "form /a from -"}},
		{"a dialog", tagged + `<dialog id=x><form id=a method=dialog></form></dialog><script>later(1000, function () { x.showModal(); a.requestSubmit(); })</script>`, "/a", []string{"view /a from -"}},
		{"prerendered by the browser", tagged + `<script>
			if (location.pathname === '/a') {
				var rules = document.createElement('script');
				rules.type = 'speculationrules';
				rules.text = JSON.stringify({ prerender: [{ source: 'list', urls: ['/b', '/never'], eagerness: 'immediate' }] });
				document.head.append(rules);
				later(3000, function () { location.href = '/b'; });
			} else {
				if (document.prerendering) history.replaceState({}, '', location.pathname + '?routed');
				document.addEventListener('prerenderingchange', function () { later(500, callpoint.form); });
			}</script>`, "/a", []string{"view /a from -", "view /b?routed from /a", "form /b?routed from -"}},
		{"without beacons", `<script>cookie(); navigator.sendBeacon = function () { throw new Error('no'); };</script><script src="TAG"></script>`, "/a", []string{"view /a from -"}},
		{"without beacons and fetch", `<script>cookie(); navigator.sendBeacon = undefined; window.fetch = undefined;</script><script src="TAG"></script>`, "/a", []string{"view /a from -"}},
		{"a beacon that the browser does not take", `<script>cookie(); navigator.sendBeacon = function () { return false; };</script><script src="TAG"></script>`, "/a", []string{"view /a from -"}},
		{"a policy as the guide says", `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' ORIGIN; connect-src ORIGIN">` + tagged, "/a", []string{"view /a from -"}},
		{"the same for images", `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' ORIGIN; img-src ORIGIN">
			<script>cookie(); navigator.sendBeacon = undefined; window.fetch = undefined;</script><script src="TAG"></script>`, "/a", []string{"view /a from -"}},
		{"a policy that forbids sending", `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' ORIGIN">` + tagged, "/a", nil},
		{"Trusted Types", `<meta http-equiv="Content-Security-Policy" content="require-trusted-types-for 'script'">` + tagged, "/a", []string{"view /a from -"}},
		{"the page is left before the cookie is looked for again", `<script src="TAG"></script><script>
			if (location.pathname === '/a') later(100, function () { cookie(); location.href = '/b'; });</script>`, "/a",
			[]string{"view /a from -", "view /b from /a"}},
		{"a hostile page", `<script>cookie(); document.cookie = '_biz_uid=%zz; path=/'; delete history.pushState;
			Object.defineProperty(window, 'localStorage', { get: function () { throw new Error('blocked'); } });</script><script src="TAG"></script>
			<script>later(100, function () { callpoint.consent(true); callpoint.view(); callpoint.form(); });</script>`, "/a", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWebsite(t, c.html)
			if strings.Contains(c.html, "location.pathname") && !strings.Contains(c.html, "<iframe") {
				w.travel(t, browser, c.path, len(c.want))
			} else {
				w.visit(t, browser, c.path)
			}
			if got := w.stored(); !slices.Equal(got, c.want) {
				t.Errorf("stored\n%s\nwant\n%s\nsent\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"), strings.Join(w.sent, "\n"))
			}
			for _, sent := range w.sent {
				if strings.Contains(sent, "private") || strings.Contains(sent, "jane") && !strings.Contains(sent, "thanks") {
					t.Errorf("a field's value was sent: %s", sent)
				}
			}
			for _, e := range w.store.events {
				if e.Visitor != "7059e81415f34f7bbaf40fe32fdcba21" || e.Title != "A page" || e.UserAgent != safari {
					t.Errorf("stored %+v", e)
				}
			}
		})
	}
}
