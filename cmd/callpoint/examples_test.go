package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"callpoint/mapping"
	"callpoint/sync/orgsim"

	"go.yaml.in/yaml/v3"
)

// An example is a fenced block of a document.
type example struct{ file, lang, text string }

// first is the line by which the tables below know an example.
func (e example) first() string {
	line, _, _ := strings.Cut(e.text, "\n")
	return e.file + ": " + line
}

func examples(t *testing.T) (all []example) {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	for _, f := range append(files, "../../README.md", "../../CONTRIBUTING.md") {
		name := strings.TrimPrefix(f, "../../")
		for _, m := range block.FindAllStringSubmatch(read(t, name), -1) {
			all = append(all, example{name, m[1], m[2]})
		}
	}
	return all
}

// runExamples run the examples that begin with a line.
var runExamples = map[string]func(t *testing.T, text string){
	"README.md: CGO_ENABLED=0 go build -trimpath -o /usr/bin/callpoint ./cmd/callpoint":                                                     installExample,
	"README.md: callpoint --sync-once":                                                                                                      syncExample,
	"docs/collector.md: CALLPOINT_HOSTS=www.example.com":                                                                                    settingsExample,
	"docs/channels.md: Channel,Sub Channel,Campaign,Medium,Source,Landing Page,Referring Website":                                           rulesExample,
	"docs/collector.md: upstream callpoint {":                                                                                               siteExample,
	"docs/collector.md: curl -s https://calls.example.com/v1/events \\":                                                                     eventsExample,
	"docs/collector.md: curl -s https://calls.example.com/v1/sessions \\":                                                                   sessionsExample,
	"docs/monitoring.md: scrape_configs:":                                                                                                   scrapeExample,
	"docs/monitoring.md: echo https://hooks.slack.com/services/T0/B0/x | install -m 0600 /dev/stdin /etc/callpoint/callpoint_alert_webhook": alertExample,
	"docs/monitoring.md: echo CALLPOINT_ALERT_MAIL=ops@example.com >>/etc/callpoint/callpoint.env":                                          alertExample,
	"docs/proxies.md: upstream callpoint {":                                                                                                 siteExample,
	"docs/site.md: upstream callpoint {":                                                                                                    siteExample,
	"docs/salesforce-setup.md: callpoint metadata callpoint-sfdx":                                                                           setupExample,
	"docs/site.md: <script>":                                                                                                                tagExample,
	"docs/site.md: <script src=\"https://calls.example.com/callpoint.js\" async></script>":                                                  tagExample,
	"docs/proxies.md: [Service]":                                                                                                            dropInExample,
	"docs/upgrade.md: callpoint store backup /var/backups/callpoint-before.db":                                                              upgradeExample,
	"docs/upgrade.md: systemctl stop callpoint":                                                                                             func(t *testing.T, _ string) {}, // the second half of upgradeExample
}

// alertExample runs an example of alerts, and reads the configuration that it leaves.
func alertExample(t *testing.T, text string) {
	b, dir := newBench(t), t.TempDir()
	fake(t, dir, "systemctl", "sendmail")
	if err := os.MkdirAll(filepath.Join(dir, "etc/callpoint"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.shell(dir, text+"\ncallpoint --env-file /etc/callpoint/callpoint.env channels test https://www.example.com/", "/etc/", dir+"/etc/")
	settings, err := os.ReadFile(filepath.Join(dir, "etc/callpoint/callpoint.env"))
	if err != nil || !strings.HasPrefix(string(settings), "CALLPOINT_ALERT_") {
		t.Errorf("%v: %s", err, settings)
	}
}

// otherExamples are run elsewhere, or cannot be run; each with the reason.
var otherExamples = map[string]string{
	"README.md: git clone https://callpoint.example/callpoint.git && cd callpoint": "the address is the reader's",
	"README.md: make package":        "packaging/test.sh installs the package, TestInit runs the rest",
	"CONTRIBUTING.md: go test ./...": "this is it",
	"docs/salesforce-setup.md: callpoint init --yes --domain https://example.my.salesforce.com --consumer-key 3MVG9... --consumer-secret-file secret.txt --vendor ctm --site https://www.example.com": "setupExample runs it",
	"docs/salesforce-setup.md: callpoint check":                                                                                            "setupExample runs it",
	"docs/salesforce-setup.md: CALLPOINT_DRY_RUN=true callpoint --sync-once":                                                               "setupExample runs it",
	"docs/salesforce-setup.md: systemctl enable --now callpoint":                                                                           "setupExample runs it",
	"docs/salesforce-setup.md: openssl req -x509 -newkey rsa:2048 -nodes -days 730 -subj /CN=callpoint -keyout server.key -out server.crt": "setupExample runs it",
	"docs/salesforce-setup.md: callpoint init --yes --domain https://example.my.salesforce.com --login jwt --consumer-key 3MVG9... --jwt-username integration@example.com --jwt-key-file server.key": "setupExample runs it",
	"docs/salesforce-setup.md: systemctl stop callpoint":                  "setupExample runs it",
	"docs/site.md: calls.example.com {":                                   "Caddy is not installed where the tests run",
	"docs/site.md: <?php":                                                 "PHP is not installed where the tests run",
	"README.md: go run ./cmd/callpoint demo":                              "TestReadmeShowsTheDemo runs the same program",
	"README.md: Page views arrive at the collector, calls in Salesforce:": "TestReadmeShowsTheDemo compares it",
	"README.md: go test ./...":                                            "this is it",
	"README.md:  visitor's browser -> /callpoint.js, /m/ipv, /v1/events -> collector -> store (bbolt)":                                                              "a drawing",
	"docs/fields.md: # The built-in field map: a field of the touchpoint, and the value that goes into it.":                                                         "TestFieldsDocument compares it",
	"docs/fields.md: # one more field with a value that the map knows":                                                                                              "TestFieldsDocument reads it",
	"docs/collector.md: {\"accepted\":2,\"repeated\":0,\"rejected\":[{\"line\":3,\"error\":\"at: not an RFC 3339 time: \\\"yesterday\\\"\"}],\"rejected_total\":1}": "eventsExample compares it",
	"docs/architecture.md:  browser, server, files                                   Salesforce (or sync/orgsim)":                                                   "a picture",
	"docs/collector.md: CALLPOINT_FORWARD=https://callpoint.internal.example":                                                                                       "TestRelayExample reads it as an env file",
	"docs/collector.md: <script src=\"https://www.example.com/callpoint.js\" async></script>":                                                                       "a browser runs it: sync/collector, TestScript",
	"docs/collector.md: <span id=\"callpoint-settings\" data-requires-user-consent></span>":                                                                         "a browser runs it: sync/collector, TestScript",
	"docs/collector.md: <script>window.callpoint = window.callpoint || { consented: true };</script>":                                                               "a browser runs its like: sync/collector, TestScript",
	"docs/collector.md: curl -si \"https://www.example.com/m/ipv?_biz_u=test&_biz_l=https%3A%2F%2Fwww.example.com%2F&_biz_t=$(date +%s)000\"":                       "siteExample runs it, through nginx",
	"docs/vendors.md: # /etc/callpoint/sources.conf":                                                                                                                "TestSourcesExample reads it",
}

// Every example of the documents is run by a test, or named here with the reason why not.
func TestDocumentExamples(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range examples(t) {
		seen[e.first()] = true
		run, listed := runExamples[e.first()], otherExamples[e.first()]
		if run == nil && listed == "" {
			t.Errorf("no test runs this example: run it in runExamples, or give the reason in otherExamples\n%s", e.first())
		}
		if run != nil {
			// The name is also that of folders, which nginx and systemd must be able to read.
			t.Run(regexp.MustCompile(`\W+`).ReplaceAllString(e.first(), "_"), func(t *testing.T) {
				t.Parallel()
				run(t, e.text)
			})
		}
	}
	for first := range runExamples {
		if !seen[first] {
			t.Errorf("this example is gone: %s", first)
		}
	}
	for first := range otherExamples {
		if !seen[first] {
			t.Errorf("this example is gone: %s", first)
		}
	}
}

// exampleText is one example, for a test that needs several.
func exampleText(t *testing.T, first string) string {
	t.Helper()
	for _, e := range examples(t) {
		if strings.HasPrefix(e.first(), first) {
			return e.text
		}
	}
	t.Fatalf("no example begins with %s", first)
	return ""
}

// shell runs an example word by word, in a folder whose bin comes first in PATH; callpoint
// there is this program. pairs are what must differ here, such as folders of the system.
func (b *bench) shell(dir, text string, pairs ...string) string {
	b.t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], filepath.Join(bin, "callpoint")); err != nil && !os.IsExist(err) {
		b.t.Fatal(err)
	}
	c := exec.CommandContext(b.t.Context(), "sh", "-euc", strings.NewReplacer(pairs...).Replace(text))
	c.Dir = "../.."
	c.Env = append(b.env, "PATH="+bin+":"+os.Getenv("PATH"), "CURL_HOME="+dir, "TOKEN=secret")
	c.Stdin = strings.NewReader("the secret\n")
	out, err := c.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// fake puts a program into the PATH of shell that does nothing.
func fake(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, "bin", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func installExample(t *testing.T, text string) {
	b, dir := newBench(t), t.TempDir()
	fake(t, dir, "systemctl")
	for _, d := range []string{"usr/bin", "etc/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.env = append(slices.DeleteFunc(b.env, func(kv string) bool { return strings.HasPrefix(kv, "CALLPOINT_STORE=") }), "SYSTEM_ROOT="+dir)
	b.shell(dir, text, " /etc/", " "+dir+"/etc/", " /usr/bin/", " "+dir+"/usr/bin/", "-trimpath", "-buildvcs=false",
		"callpoint init", "printf '%s\\n' "+b.url+" '' "+orgsim.DefaultClientID+" ctm www.example.com "+orgsim.DefaultClientSecret+" | callpoint init")
	for path, mode := range map[string]os.FileMode{
		"usr/bin/callpoint": 0o755, "etc/callpoint.env": 0o640, "var/callpoint.db": 0o600,
		"etc/salesforce_consumer_secret": 0o600, "etc/systemd/system/callpoint.service": 0o644,
	} {
		if fi, err := os.Stat(filepath.Join(dir, path)); err != nil || fi.Mode().Perm() != mode || fi.Size() == 0 {
			t.Errorf("%s: %v, %v", path, fi, err)
		}
	}
}

func syncExample(t *testing.T, text string) {
	b, dir := newBench(t), t.TempDir()
	env := filepath.Join(dir, "etc", "callpoint.env")
	if err := os.MkdirAll(filepath.Dir(env), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(env, []byte(strings.Join(b.env[1:], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	b.env = []string{b.env[0], "SYSTEM_ROOT=" + dir} // CALLPOINT_UNDER_TEST
	if out := b.shell(dir, text, "/etc/callpoint/callpoint.env", env); !strings.Contains(out, "nothing new: 0 tasks") {
		t.Errorf("it says %s", out)
	}
}

func settingsExample(t *testing.T, text string) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig(nil, path); err != nil {
		t.Error(err)
	}
}

func rulesExample(t *testing.T, text string) {
	if _, warnings, err := mapping.ParseRules([]byte(text)); err != nil || len(warnings) > 0 {
		t.Errorf("%v %v", warnings, err)
	}
}

func scrapeExample(t *testing.T, text string) {
	for name, text := range map[string]string{"monitoring.md": text, "alerts.yml": read(t, "docs/alerts.yml")} {
		var v map[string][]map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil || len(v) != 1 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

// dropInExample has systemd read the unit with the drop-in.
func dropInExample(t *testing.T, text string) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	unit := strings.ReplaceAll(read(t, "systemd/callpoint.service"), "ExecStart=/usr/bin/callpoint", "ExecStart=/bin/true")
	if err := os.MkdirAll(filepath.Join(dir, "callpoint.service.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"callpoint.service": unit, "callpoint.service.d/proxy.conf": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", "verify", filepath.Join(dir, "callpoint.service")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "proxy.conf") {
		t.Errorf("%v\n%s", err, out)
	}
}

// upgradeExample backs up beside a running daemon, and goes back to the copy.
func upgradeExample(t *testing.T, text string) {
	back := exampleText(t, "docs/upgrade.md: systemctl stop callpoint")
	b, dir := newBench(t), t.TempDir()
	fake(t, dir, "systemctl", "apt")
	folders := []string{"/var/backups", dir, "/var/lib/callpoint/callpoint.db", b.store}
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	b.env = append(b.env, "CALLPOINT_LISTEN="+strings.TrimPrefix(d.url, "http://"))
	if out := b.shell(dir, text, folders...); !strings.Contains(out, "ok: Page views arrive. Waiting for the first call.") {
		t.Errorf("it says\n%s", out)
	}
	d.stop()
	if err := os.WriteFile(b.store, []byte("a store that is lost"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.shell(dir, back, folders...)
	if out, _, code := b.run("store", "check"); code != exitDone || !strings.Contains(out, "sound") {
		t.Errorf("after going back: exit %d\n%s", code, out)
	}
}

// setupExample walks through docs/salesforce-setup.md, command by command, against a simulated
// org whose user has no rights but those of the permission set that is deployed.
func setupExample(t *testing.T, _ string) {
	s := newSetup(t, map[string]string{"secret.txt": orgsim.DefaultClientSecret, "var/keep": ""})
	dir := filepath.Join(s.root, "work")
	fake(t, dir, "systemctl")
	// sf deploys to the simulated org.
	sf := "#!/bin/sh\ncase \"$*\" in\n'project deploy start --source-dir permissions '*)\n" +
		"\texec curl -sSf --data-binary @permissions/main/default/permissionsets/callpoint.permissionset-meta.xml " + s.url + "/sim/permission-set ;;\n" +
		"'org assign permset --target-org my-sandbox --on-behalf-of '*) ;;\n*) echo \"sf $*: not in the document\" >&2; exit 1 ;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "bin", "sf"), []byte(sf), 0o755); err != nil {
		t.Fatal(err)
	}
	walk := "cd " + dir + "\ncp ../secret.txt .\n"
	for _, e := range examples(t) {
		if e.file == "docs/salesforce-setup.md" && e.lang == "sh" {
			walk += e.text + "cp ../secret.txt .\n"
		}
	}
	out := s.shell(dir, walk, "https://example.my.salesforce.com", s.url, "3MVG9...", orgsim.DefaultClientID, "integration@example.com", orgsim.DefaultUsername,
		"/var/lib/callpoint/", s.root+"/var/", "callpoint status", "true # no daemon runs here")
	if strings.Contains(out, "failed  ") || strings.Count(out, "ok       login") < 4 || !strings.Contains(out, "Dry run") {
		t.Errorf("the walk prints\n%s", out)
	}
	if !exists(filepath.Join(s.root, "etc/salesforce_consumer_secret")) || !exists(filepath.Join(s.root, "var/sandbox.db")) || !exists(s.store) {
		t.Error("the walk did not leave the files that the document names")
	}
}

// tagExample opens a page with the tag in a browser: its view reaches the daemon.
func tagExample(t *testing.T, text string) {
	if testing.Short() {
		t.Skip("-short: the tag is not opened in a browser")
	}
	d := newBench(t).daemon()
	text = strings.ReplaceAll(text, "https://calls.example.com", d.url)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><head><title>A page</title><script>document.cookie = '_biz_uid="+visitorA+"; path=/'</script>"+text+"</head>")
	}))
	t.Cleanup(site.Close)
	// A headless browser names itself one, and is dropped as a bot; this one visits.
	browse(t, site.URL+"/quote", "--virtual-time-budget=10000", "--user-agent="+safari)
	waitFor(t, "the view", func() bool {
		_, answer := d.request(http.MethodGet, "/v1/visitors/"+visitorA, nil)
		return strings.Contains(string(answer), site.URL+"/quote")
	})
	d.stop()
}
