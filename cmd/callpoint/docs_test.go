package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"callpoint/mapping"
	"callpoint/sync/monitor"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The README, config.example.env, the unit and --help must say the same.

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documents are the files that people read, from the root of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"}
	for _, f := range files {
		all = append(all, strings.TrimPrefix(f, "../../"))
	}
	return all
}

var ourNames = regexp.MustCompile(`\b(?:CALLPOINT|SALESFORCE)_[A-Z_]*[A-Z]\b`)

func TestEveryVariableIsInTheExample(t *testing.T) {
	t.Parallel()
	example := read(t, "config.example.env")
	known := map[string]bool{}
	for _, v := range variables() {
		known[v.name] = true
		known[v.name+"_FILE"] = v.secret
		if !regexp.MustCompile(`(?m)^(?:# )?` + v.name + `=`).MatchString(example) {
			t.Errorf("config.example.env lacks %s", v.name)
		}
	}
	for _, file := range append(documents(t), "config.example.env", "systemd/callpoint.service", "systemd/callpoint-sync.service") {
		for _, name := range ourNames.FindAllString(read(t, file), -1) {
			if !known[name] {
				t.Errorf("%s names %s, which the program does not know", file, name)
			}
		}
	}
}

// Every default that the example shows is the program's own.
func TestExampleShowsTheDefaults(t *testing.T) {
	t.Parallel()
	mapped := func(c Config) string {
		r, err := c.rules()
		if err != nil {
			t.Fatal(err)
		}
		return r.fingerprint
	}
	plain, err := loadConfig([]string{"SALESFORCE_DOMAIN=https://example.my.salesforce.com", "CALLPOINT_LOG_FORMAT=json"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# (CALLPOINT_[A-Z_]+)=(.+)$`).FindAllStringSubmatch(read(t, "config.example.env"), -1) {
		name, value := m[1], m[2]
		if slices.Contains([]string{"CALLPOINT_STORE", "CALLPOINT_BIZIBLE_ID_FIELD", "CALLPOINT_CALL_TIME", "CALLPOINT_LOG_FORMAT"}, name) {
			continue // their defaults depend on the surroundings, or are mapping's own
		}
		c, err := loadConfig([]string{"SALESFORCE_DOMAIN=https://example.my.salesforce.com", "CALLPOINT_LOG_FORMAT=json", name + "=" + value}, "")
		if err != nil {
			t.Errorf("%s=%s: %v", name, value, err)
			continue
		}
		if mapped(c) != mapped(plain) || c.Vendor != plain.Vendor || c.Listen != plain.Listen || c.Retention != plain.Retention ||
			c.PollInterval != plain.PollInterval || c.PollOverlap != plain.PollOverlap || c.BatchSize != plain.BatchSize ||
			c.Start != plain.Start || c.LogLevel != plain.LogLevel || !slices.Equal(c.TrustedProxies, plain.TrustedProxies) ||
			c.TouchpointObject != plain.TouchpointObject || c.ExternalIDField != plain.ExternalIDField {
			t.Errorf("config.example.env shows %s=%s, which is not the default", name, value)
		}
	}
	r, err := plain.rules()
	if err != nil {
		t.Fatal(err)
	}
	s := r.settings
	for _, line := range []string{"CALLPOINT_BIZIBLE_ID_FIELD=" + s.BizibleIDField, "CALLPOINT_CALL_TIME=" + strings.Join(s.CallTime, ",")} {
		if !strings.Contains(read(t, "config.example.env"), "# "+line+"\n") {
			t.Errorf("config.example.env does not show %s", line)
		}
	}
}

func TestExampleFileIsReadAsItComes(t *testing.T) {
	t.Parallel()
	c, err := loadConfig([]string{"CALLPOINT_LOG_FORMAT=json"}, "../../config.example.env")
	if err != nil {
		t.Fatal(err)
	}
	if c.Domain != "https://example.my.salesforce.com" {
		t.Errorf("domain %q", c.Domain)
	}
}

// Every command has an example, and the README names no command that is not there.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	root := (&program{}).root()
	paths := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		paths[c.CommandPath()] = true
		if c.Short == "" || c.Runnable() && (c.Long == "" || c.Example == "") {
			t.Errorf("%s is not described, or has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for _, file := range documents(t) {
		for _, m := range regexp.MustCompile("`callpoint((?: [a-z]+)*)").FindAllStringSubmatch(read(t, file), -1) {
			if !paths["callpoint"+m[1]] {
				t.Errorf("%s names the command callpoint%s, which is not there", file, m[1])
			}
		}
	}
}

// Every flag that is written after a command, in a document, an example or a unit, is one
// of that command; one that stands alone is of some command.
func TestDocumentedFlagsAreThere(t *testing.T) {
	t.Parallel()
	root := (&program{}).root()
	texts := map[string]string{}
	for _, file := range []string{"README.md", "CHANGELOG.md", "config.example.env", "systemd/callpoint.service", "systemd/callpoint-sync.service"} {
		texts[file] = read(t, file)
	}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range documents {
		texts[f] = read(t, strings.TrimPrefix(f, "../../"))
	}
	everywhere := map[string]bool{"now": true, "help": true} // systemctl enable --now
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		texts["help of "+c.CommandPath()] = c.Long + "\n" + c.Example
		for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.InheritedFlags()} {
			set.VisitAll(func(f *pflag.Flag) { everywhere[f.Name] = true })
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	call := regexp.MustCompile("(?:^|[ `/(])callpoint((?: +[^ `\n|;&>)]+)+)")
	name := regexp.MustCompile(`(?:^|[^a-z0-9])--([a-z][a-z-]+)`) // not the dashes within a word: xn--kva
	checked := 0
	for where, text := range texts {
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			if !everywhere[m[1]] && !foreignFlags[m[1]] {
				t.Errorf("%s names the flag --%s, which no command has", where, m[1])
			}
		}
		for line := range strings.Lines(text) {
			for _, m := range call.FindAllStringSubmatch(line, -1) {
				words := strings.Fields(m[1])
				c, _, err := root.Find(words)
				if err != nil {
					continue // prose
				}
				for _, flag := range name.FindAllStringSubmatch(m[1], -1) {
					checked++
					if c.Flags().Lookup(flag[1]) == nil && c.InheritedFlags().Lookup(flag[1]) == nil {
						t.Errorf("%s: %s has no flag --%s", where, c.CommandPath(), flag[1])
					}
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d flags checked", checked)
	}
}

// foreignFlags are of other programs that the documents call.
var foreignFlags = map[string]bool{"data-binary": true, "source-dir": true, "target-org": true, "on-behalf-of": true, "name": true, "nginx": true}

// The unit opens the port that is the default, and reads the folder that the README fills.
func TestUnitFitsTheDefaults(t *testing.T) {
	t.Parallel()
	unit := read(t, "systemd/callpoint.service")
	c, err := loadConfig([]string{"CALLPOINT_LOG_FORMAT=json"}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(c.Listen, ":")
	for _, line := range []string{"SocketBindAllow=tcp:" + port, "Type=notify", "ExecStart=/usr/bin/callpoint", "EnvironmentFile=/etc/callpoint/callpoint.env", "StateDirectory=callpoint"} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	for _, path := range []string{"/etc/callpoint/callpoint.env", "/etc/callpoint/salesforce_consumer_secret", "/usr/bin/callpoint"} {
		if !strings.Contains(unit, path) || !strings.Contains(read(t, "README.md"), path) {
			t.Errorf("%s is not in both the unit and the README", path)
		}
	}
}

// The README shows the demo as it is: the same lines in the same order, whatever the
// times and record ids of the day. Three dots stand for lines left out.
func TestReadmeShowsTheDemo(t *testing.T) {
	t.Parallel()
	out, errs, code := newBench(t).run("demo")
	if code != exitDone {
		t.Fatalf("demo: exit %d\n%s", code, errs)
	}
	_, block, _ := strings.Cut(read(t, "README.md"), "or the reason why it has none:\n\n```\n")
	block, _, _ = strings.Cut(block, "```")
	changing := regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]|\d\d:\d\d(:\d\d)?(\.\d+)?|\b(a0\d|00\w)Hs\w+|\d+\.\d s`)
	lines := strings.Split(changing.ReplaceAllString(out, "#"), "\n")
	shown := 0
	gap := false
	for want := range strings.Lines(changing.ReplaceAllString(block, "#")) {
		want = strings.TrimSuffix(want, "\n")
		if want == "..." {
			gap = true
			continue
		}
		at := slices.Index(lines, want)
		if at < 0 || at > 0 && !gap {
			t.Fatalf("the README shows\n%s\nwhere the demo prints\n%s", want, strings.Join(lines[:min(3, len(lines))], "\n"))
		}
		lines, gap = lines[at+1:], false
		shown++
	}
	if shown < 20 {
		t.Errorf("the README shows %d lines of the demo only", shown)
	}
}

// The services of the timer and of the relay are hardened as the daemon's is; the directives
// that may differ are named here.
func TestUnitsAreHardenedAlike(t *testing.T) {
	t.Parallel()
	directives := func(file string) map[string]bool {
		all := map[string]bool{}
		_, service, _ := strings.Cut(read(t, file), "\n[Service]\n")
		service, _, _ = strings.Cut(service, "\n[")
		for line := range strings.Lines(service) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				all[line] = true
			}
		}
		return all
	}
	daemon, once, relay := directives("systemd/callpoint.service"), directives("systemd/callpoint-sync.service"), directives("systemd/callpoint-relay.service")
	ofDaemon := regexp.MustCompile(`^(Type|ExecStart|ExecReload|Restart\w*|Timeout\w+|WatchdogSec|RuntimeDirectory|SocketBindAllow|NotifyAccess)=`)
	ofService := regexp.MustCompile(`^(ExecStart|ExecReload|TimeoutStartSec|(Load|Set)Credential=(salesforce\w+|callpoint_store_password))\b`)
	for line := range daemon {
		if !once[line] && !ofDaemon.MatchString(line) {
			t.Errorf("callpoint-sync.service lacks %s", line)
		}
		if !relay[line] && !ofService.MatchString(line) {
			t.Errorf("callpoint-relay.service lacks %s", line)
		}
	}
	if len(daemon) < 40 || len(once) < 40 {
		t.Errorf("%d and %d directives", len(daemon), len(once))
	}
}

func TestCompletionAndManual(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, errs, code := b.run("completion", shell); code != exitDone || !strings.Contains(out, "__complete") {
			t.Errorf("completion %s: exit %d, %s", shell, code, errs)
		}
	}
	if _, errs, code := b.run("completion", "tcsh"); code != exitUsage || !strings.Contains(errs, "tcsh") {
		t.Errorf("completion tcsh: exit %d, %s", code, errs)
	}
	if out, _, _ := b.run("__complete", "expl"); !strings.HasPrefix(out, "explain\t") {
		t.Errorf("expl completes to %q", out)
	}
	one, two := t.TempDir(), t.TempDir()
	b.env = append(b.env, "SOURCE_DATE_EPOCH=1795000000")
	for _, dir := range []string{one, two} {
		if _, errs, code := b.run("man", dir); code != exitDone {
			t.Fatalf("man: exit %d, %s", code, errs)
		}
	}
	pages, err := os.ReadDir(one)
	if err != nil || len(pages) < 15 {
		t.Fatalf("%d manual pages, %v", len(pages), err)
	}
	for _, page := range pages {
		a, err1 := os.ReadFile(one + "/" + page.Name())
		z, err2 := os.ReadFile(two + "/" + page.Name())
		if err1 != nil || err2 != nil || string(a) != string(z) || !strings.Contains(string(a), ".SH NAME") {
			t.Errorf("%s: %v %v, or written differently twice", page.Name(), err1, err2)
		}
	}
}

// The examples of fields.md are a map that is read, and the built-in one as it is.
func TestFieldsDocument(t *testing.T) {
	t.Parallel()
	blocks := strings.Split(read(t, "docs/fields.md"), "```")
	if len(blocks) != 5 || strings.TrimSpace(blocks[1]) != strings.TrimSpace(string(mapping.DefaultFieldsFile())) {
		t.Fatalf("fields.md does not show the built-in map (%d blocks)", len(blocks))
	}
	m, err := mapping.ParseFields([]byte(blocks[3]))
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(m.Names(), " ")
	if !strings.Contains(names, "My_Channel__c") || strings.Contains(names, "Browser") || !slices.Contains(m.TaskFields(), "CallDisposition") {
		t.Errorf("the example of fields.md maps %s", names)
	}
}

// What the documents call by name is there: variables and commands.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, v := range variables() {
		known[v.name] = true
		known[v.name+"_FILE"] = v.secret
	}
	root := (&program{}).root()
	for _, file := range []string{"salesforce-setup", "fields", "proxies", "upgrade", "crash", "monitoring", "site", "troubleshooting"} {
		text := read(t, "docs/"+file+".md")
		for _, name := range ourNames.FindAllString(text, -1) {
			if !known[name] {
				t.Errorf("docs/%s.md names %s, which the program does not know", file, name)
			}
		}
		for _, m := range regexp.MustCompile("(?m)[`^]callpoint ((?:[a-z]+[ `\n])+)").FindAllStringSubmatch(text, -1) {
			words := strings.Fields(strings.Trim(m[1], "` \n"))
			if c, _, err := root.Find(words); err != nil || c == root {
				t.Errorf("docs/%s.md names the command callpoint %s, which is not there", file, strings.Join(words, " "))
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([a-z.-]+)\)`).FindAllStringSubmatch(text, -1) {
			read(t, "docs/"+m[1])
		}
	}
}

// Every document is linked from the index, every link leads somewhere, and every nginx block is
// the one that a test runs.
func TestDocumentsAreLinked(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/README.md")
	files, err := filepath.Glob("../../docs/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "../../README.md", "../../SECURITY.md", "../../CONTRIBUTING.md", "../../CHANGELOG.md", "../../config.example.env") {
		name := filepath.Base(f)
		if strings.HasPrefix(f, "../../docs/") && (name == "README.md" || strings.HasSuffix(name, ".png") || strings.HasSuffix(name, ".svg")) {
			continue
		}
		if !strings.Contains(index, "("+name+")") && !strings.Contains(index, "(../"+name+")") {
			t.Errorf("docs/README.md does not link %s", name)
		}
	}
	nginx := map[string]bool{}
	for _, f := range append(files, "../../README.md", "../../SECURITY.md", "../../CONTRIBUTING.md") {
		if !strings.HasSuffix(f, ".md") {
			continue
		}
		text := read(t, strings.TrimPrefix(f, "../../"))
		for _, m := range regexp.MustCompile(`\]\(([^)#: ]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), m[1])); err != nil {
				t.Errorf("%s links %s, which is not there", f, m[1])
			}
		}
		for _, m := range regexp.MustCompile("(?s)```nginx\n(.*?)```").FindAllStringSubmatch(text, -1) {
			nginx[m[1]] = true
		}
	}
	if len(nginx) != 1 {
		t.Errorf("the documents show %d different nginx blocks", len(nginx))
	}
	if readme := read(t, "README.md"); !strings.Contains(readme, "](docs/README.md)") || strings.Index(readme, "git clone") > strings.Index(readme, "demo\n") {
		t.Error("README.md does not link docs/README.md, or does not begin with git clone")
	}
}

// The troubleshooting page has a row for every reason, state and health check, and no other.
func TestTroubleshootingIsComplete(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/troubleshooting.md")
	section := func(title string) string {
		_, rest, ok := strings.Cut(text, "\n## "+title)
		if !ok {
			t.Fatalf("no section %s", title)
		}
		rest, _, _ = strings.Cut(rest, "\n## ")
		return rest
	}
	rows := func(title string) (names []string) {
		for _, m := range regexp.MustCompile("(?m)^\\| ((?:`\\w+`(?:, )?)+) \\|").FindAllStringSubmatch(section(title), -1) {
			for name := range strings.SplitSeq(m[1], ", ") {
				names = append(names, strings.Trim(name, "`"))
			}
		}
		slices.Sort(names)
		return names
	}
	sorted := func(names []string) []string { return slices.Sorted(slices.Values(names)) }
	if got, want := rows("Why is a call not matched"), sorted(monitor.ReasonNames()); !slices.Equal(got, want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
	if got, want := rows("Why is a matched call"), sorted(monitor.StateNames()); !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	b := newBench(t)
	d := b.daemon()
	var h monitor.Health
	_, answer := d.request("GET", "/healthz", nil)
	if err := json.Unmarshal(answer, &h); err != nil {
		t.Fatal(err)
	}
	d.stop()
	known := rows("Health, by check")
	for _, c := range h.Checks {
		if !slices.Contains(known, c.Name) {
			t.Errorf("the check %s is not on the page", c.Name)
		}
	}
}
