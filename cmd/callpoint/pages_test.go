package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"

	"golang.org/x/net/html"
)

// textOf returns the text of a page.
func textOf(root *html.Node) string {
	var b strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// browserGet requests a path as a browser does, without following redirects.
func (d *running) browserGet(path string) (int, string, http.Header) {
	d.b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, d.url+path, nil)
	if err != nil {
		d.b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.b.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// callBench is a daemon with three calls: a Lead's that matches an ad, a Contact's outside of
// the window, and one without a BizibleId.
func callBench(t *testing.T) (d *running, matched, outside, noID, lead string) {
	t.Helper()
	b := listenBench(t)
	insert := func(object string, fields map[string]any) string {
		id, err := b.org.Insert(object, fields)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	lead = insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
	contact := insert("Contact", map[string]any{"LastName": "Ben"})
	d = b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/quote?gclid=1&utm_campaign=x", "https://www.google.com/"),
		view(visitorB, yesterday("09:00:00"), "https://www.example.com/", ""))
	matched = b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead, "Subject": "=1+1"})
	outside = b.task(yesterday("10:00:00"), map[string]any{"bizible2__BizibleId__c": visitorB, "WhoId": contact, "Subject": "Ben"})
	noID = b.task(yesterday("08:00:00"), map[string]any{"WhoId": contact, "Subject": "no id"})
	d.sync()
	return d, matched, outside, noID, lead
}

// listed returns the Tasks that a list links to.
func listed(page string, all ...string) (found []string) {
	for _, id := range all {
		if strings.Contains(page, `href="/calls/`+id+`"`) {
			found = append(found, id)
		}
	}
	return found
}

func TestSearchAndFilters(t *testing.T) {
	t.Parallel()
	d, matched, outside, noID, lead := callBench(t)
	for _, q := range []string{matched, matched[:15], "  " + matched + " ", "https://acme.lightning.force.com/lightning/r/Task/" + matched + "/view", "https://acme.my.salesforce.com/" + matched[:15]} {
		if status, _, h := d.browserGet("/calls?q=" + url.QueryEscape(q)); status != http.StatusSeeOther || h.Get("Location") != "/calls/"+matched {
			t.Errorf("q=%s: %d to %q, want the call", q, status, h.Get("Location"))
		}
	}
	for query, want := range map[string][]string{
		"":                               {matched, outside, noID},
		"q=" + visitorA:                  {matched},
		"q=" + strings.ToUpper(visitorA): {matched},
		"q=" + lead:                      {matched},
		"q=" + lead[:15]:                 {matched},
		"q=nobody":                       nil,
		"reason=outside_window":          {outside},
		"state=written&reason=matched":   {matched},
		"state=parked":                   nil,
		"channel=Paid+Search":            {matched},
		"channel=paid+search.adwords":    {matched},
		"channel=Email":                  nil,
		"since=" + day("11:00:00"):       {matched, outside, noID}, // a day is a whole day
		"until=" + yesterday("12:00:00").AddDate(0, 0, -1).Format("2006-01-02"): nil,
		"since=" + yesterday("11:00:00").Format("2006-01-02T15:04:05Z"):         {matched},
		"limit=1":        {matched},
		"limit=1&page=2": {outside},
		"limit=1&page=3": {noID},
		"limit=1&page=4": nil,
	} {
		status, page, _ := d.browserGet("/calls?" + query)
		if got := listed(page, matched, outside, noID); status != http.StatusOK || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("/calls?%s: %d, %v, want %v", query, status, got, want)
		}
		if strings.Contains(query, "until=") || strings.Contains(query, "since="+day("11:00:00")) {
			continue // of the page alone: in JSON a day is its midnight
		}
		var list monitor.CallList
		_, text := d.request(http.MethodGet, "/v1/calls?"+query, nil)
		if err := json.Unmarshal(text, &list); err != nil || len(list.Calls) != len(want) {
			t.Errorf("/v1/calls?%s: %d calls, want %d (%v)", query, len(list.Calls), len(want), err)
		}
	}
	if _, page, _ := d.browserGet("/calls?limit=1&page=2"); !strings.Contains(page, `rel="prev"`) || !strings.Contains(page, `rel="next"`) {
		t.Error("the middle page lacks a link to the newer or the older one")
	}
	if _, page, _ := d.browserGet("/calls?limit=1&page=3"); strings.Contains(page, `rel="next"`) {
		t.Error("the last page has a link to an older one")
	}
	for _, bad := range []string{"reason=x", "state=x", "page=0", "page=x", "limit=0", "since=x", "until=x"} {
		status, page, _ := d.browserGet("/calls?" + bad)
		if name, _, _ := strings.Cut(bad, "="); status != http.StatusBadRequest || !strings.Contains(page, name) || !strings.Contains(page, `href="/"`) {
			t.Errorf("/calls?%s: %d, want 400, its name and a way back", bad, status)
		}
	}
	d.stop()
}

func day(string) string { return yesterday("00:00:00").Format("2006-01-02") }

func TestCallsPageAsCSV(t *testing.T) {
	t.Parallel()
	d, matched, _, _, _ := callBench(t)
	_, page, _ := d.browserGet("/calls?reason=matched")
	_, after, found := strings.Cut(page, `href="/calls.csv`)
	link, _, _ := strings.Cut(after, `"`)
	if !found {
		t.Fatal("the page has no link to a CSV file")
	}
	status, text, h := d.browserGet("/calls.csv" + html.UnescapeString(link))
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || status != http.StatusOK || len(rows) != 2 || rows[1][0] != matched || !strings.HasPrefix(h.Get("Content-Type"), "text/csv") {
		t.Fatalf("%d, %v, %q, %s", status, err, rows, h.Get("Content-Type"))
	}
	if subject := rows[1][5]; subject != "'=1+1" {
		t.Errorf("a Subject that begins like a formula is %q", subject)
	}
	d.stop()
}

// A call's page shows the picture with its text, and leads into Salesforce.
func TestCallPage(t *testing.T) {
	t.Parallel()
	d, matched, outside, noID, lead := callBench(t)
	for id, wants := range map[string][]string{
		matched: {"Paid Search.AdWords · www.example.com/quote", "call 12:10:00", "the session of 12:00:00 was credited with it", `<svg class="chart journey"`, "The person&#39;s journey of ", ": FT, LC", `href="` + d.b.url + "/" + lead + `"`, `href="` + d.b.url + "/" + matched + `"`},
		outside: {"no session was credited with it", "lies 30 min after the nearest window"},
	} {
		_, page, _ := d.browserGet("/calls/" + id)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s lacks %q", id, want)
			}
		}
	}
	if _, page, _ := d.browserGet("/calls/" + noID); strings.Contains(page, "<svg class=\"chart timeline") {
		t.Error("a call without a BizibleId has a time line")
	}
	for _, path := range []string{"/calls/00THs0000000000000", "/nothing", "/calls/nothing"} {
		status, page, _ := d.browserGet(path)
		if status != http.StatusNotFound || !strings.Contains(page, `href="/"`) || !strings.Contains(page, "</footer>") {
			t.Errorf("%s: %d, want 404 as a page with a way back", path, status)
		}
	}
	if status, text := d.request(http.MethodGet, "/nothing", nil); status != http.StatusNotFound || strings.Contains(string(text), "<html") {
		t.Errorf("a program gets %d %s, want plain text", status, text)
	}
	d.stop()
}

// Records refused for one cause are one group, with one retry.
func TestRefusedByCause(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	one := 0
	b.org.Schema(touchpoints).AddRule(orgsim.Rule{Message: "no Ada", Fails: func(r map[string]any) bool { return r["bizible2__Ad_Content__c"] == "Ada" }})
	b.org.Schema(touchpoints).AddRule(orgsim.Rule{Message: "no Ben", Fails: func(r map[string]any) bool { return r["bizible2__Ad_Content__c"] == "Ben" }})
	for range 12 {
		for _, subject := range []string{"Ada", "Cleo"} {
			lead, err := b.org.Insert("Lead", map[string]any{"LastName": subject, "Company": "x"})
			if err != nil {
				t.Fatal(err)
			}
			b.task(yesterday("10:00:00"), map[string]any{"bizible2__BizibleId__c": fmt.Sprintf("visitor-%d", one), "WhoId": lead, "Subject": subject})
			one++
		}
	}
	d.send(view("visitor-x", yesterday("09:00:00"), "https://www.example.com/", ""))
	d.sync()
	_, _, root, _ := d.page("/")
	text := textOf(root)
	if strings.Count(text, "FIELD_CUSTOM_VALIDATION_EXCEPTION 12 touchpoints") != 1 || !strings.Contains(text, "and 2 more") {
		t.Errorf("the page does not show one group of 12: %s", text)
	}
	d.stop()
}

// The chosen period is compared with the one before it.
func TestPeriodOfThePage(t *testing.T) {
	t.Parallel()
	d, _, _, _, _ := callBench(t)
	for path, want := range map[string]string{
		"/":                                    "3 calls in the last 30 days",
		"/?days=7":                             "3 calls in the last 7 days",
		"/?days=1":                             "0 calls in the last 1 days",
		"/?from=" + day("") + "&to=" + day(""): "3 calls from ",
	} {
		_, _, root, _ := d.page(path)
		if text := textOf(root); !strings.Contains(text, want) {
			t.Errorf("%s lacks %q: %s", path, want, text)
		}
	}
	if status, page, _ := d.browserGet("/?days=x"); status != http.StatusBadRequest || !strings.Contains(page, "days=x") {
		t.Errorf("days=x: %d", status)
	}
	d.stop()
}

// probe opens a page of the daemon in Chromium with a script of the test in it, and returns
// the attribute data-result that the script sets. The daemon's own policy forbids scripts.
func (d *running) probe(path string, script string, flags ...string) string {
	d.b.t.Helper()
	target, err := url.Parse(d.url)
	if err != nil {
		d.b.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		r.Header.Del("Content-Security-Policy")
		r.Header.Del("Content-Length")
		r.ContentLength = -1
		r.Body = io.NopCloser(strings.NewReader(strings.Replace(string(body), "</body>", "<script>"+script+"</script></body>", 1)))
		return nil
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = target.Host
		proxy.ServeHTTP(w, r)
	}))
	d.b.t.Cleanup(srv.Close)
	dom, _ := browse(d.b.t, srv.URL+path, append(flags, "--virtual-time-budget=20000")...)
	_, after, found := strings.Cut(dom, `data-result="`)
	if !found {
		d.b.t.Fatalf("%s: the script did not run:\n%s", path, dom)
	}
	result, _, _ := strings.Cut(after, `"`)
	return html.UnescapeString(result)
}

// No page is wider than the window, from a phone to a desktop, whatever strangers wrote.
func TestPagesFitTheWindow(t *testing.T) {
	t.Parallel()
	_, d, matched, parked := hostileDaemon(t)
	d.send(view(visitorA, yesterday("12:01:00"), "https://www.example.com/"+strings.Repeat("long", 200)+"?q="+strings.Repeat("x", 2000), ""))
	d.sync()
	const script = `document.documentElement.dataset.result = document.documentElement.scrollWidth + " of " + document.documentElement.clientWidth`
	for _, width := range []int{500, 800, 1280} { // headless Chromium has no narrower window than 500
		for _, path := range []string{"/", "/calls", "/calls/" + matched, "/calls/" + parked, "/calls?q=" + strings.Repeat("a", 300), "/nothing"} {
			got := d.probe(path, script, fmt.Sprintf("--window-size=%d,1000", width))
			var wide, window int
			if _, err := fmt.Sscanf(got, "%d of %d", &wide, &window); err != nil || wide > window {
				t.Errorf("%s at %d: %s wide", path, width, got)
			}
		}
	}
	d.stop()
}

// axe-core finds nothing on any page. AXE_CORE names its axe.min.js.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	path := os.Getenv("AXE_CORE")
	if path == "" {
		t.Skip("AXE_CORE is not set: the pages were not checked with axe-core")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	script := strings.ReplaceAll(string(axe), "</script", "<\\/script") + `;
axe.run(document).then(function (r) {
  document.documentElement.dataset.result = JSON.stringify(r.violations.map(function (v) { return v.id + ": " + v.nodes.map(function (n) { return n.target.join(" ") }).join(", ") }));
});`
	_, d, matched, parked := hostileDaemon(t)
	for _, path := range []string{"/", "/calls", "/calls/" + matched, "/calls/" + parked, "/nothing"} {
		for _, scheme := range []string{"light", "dark"} {
			flags := []string{"--window-size=1280,2000"}
			if scheme == "dark" {
				flags = append(flags, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
			}
			if got := d.probe(path, script, flags...); got != "[]" {
				t.Errorf("%s, %s: %s", path, scheme, got)
			}
		}
	}
	// The control: a page with a mistake.
	if got := d.probe("/", `var input = document.querySelector("input"); input.removeAttribute("id"); input.removeAttribute("placeholder");`+script); !strings.Contains(got, "label: ") {
		t.Errorf("an input without a label is not found: %s", got)
	}
	d.stop()
}
