package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

// A setup is a machine's own configuration, in a folder instead of /.
type setup struct {
	*bench
	root string
}

// newSetup returns a machine with an org, whose configuration lies under root alone. Of the
// environment it keeps what the harness needs.
func newSetup(t *testing.T, files map[string]string) *setup {
	t.Helper()
	b := newBench(t)
	root := t.TempDir()
	b.env = slices.DeleteFunc(b.env, func(kv string) bool {
		return strings.HasPrefix(kv, "SALESFORCE_") || strings.HasPrefix(kv, "CALLPOINT_STORE=")
	})
	b.env = append(b.env, "SYSTEM_ROOT="+root)
	b.store = filepath.Join(root, "var", "callpoint.db")
	s := &setup{b, root}
	for name, content := range files {
		s.write(name, strings.ReplaceAll(content, "ORG", b.url))
	}
	return s
}

func (s *setup) write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// lone runs a command in an empty folder, and returns what it left there.
func (s *setup) lone(args ...string) (stdout, stderr string, code int, left []string) {
	s.t.Helper()
	dir := s.t.TempDir()
	c := s.command(s.t.Context(), args...)
	c.Dir = dir
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run()
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode(), left
}

const machineEnv = "SALESFORCE_DOMAIN=ORG\nSALESFORCE_CONSUMER_KEY=" + orgsim.DefaultClientID + "\n"

// Commands without --env-file use the machine's configuration, its secrets and its store.
func TestMachinesOwnConfiguration(t *testing.T) {
	t.Parallel()
	s := newSetup(t, map[string]string{"etc/callpoint.env": machineEnv, "etc/salesforce_consumer_secret": orgsim.DefaultClientSecret + "\n", "var/keep": ""})
	// Without a store none is created, and the cure is named.
	if _, errs, code, left := s.lone("--sync-once"); code != exitFailed || !strings.Contains(errs, "callpoint init") || len(left) > 0 || exists(s.store) {
		t.Errorf("without a store: exit %d, left %v\n%s", code, left, errs)
	}
	first := s.command(t.Context(), "--sync-once")
	first.Env = append(first.Env, "CALLPOINT_STORE="+s.store)
	if out, err := first.CombinedOutput(); err != nil {
		t.Fatalf("with CALLPOINT_STORE: %v\n%s", err, out)
	}
	if _, errs, code, left := s.lone("--sync-once"); code != exitDone || len(left) > 0 {
		t.Errorf("with a store: exit %d, left %v\n%s", code, left, errs)
	}
	for _, args := range [][]string{{"check"}, {"calls"}, {"status"}, {"reconcile"}, {"--env-file", filepath.Join(s.root, "etc/callpoint.env"), "check"}} {
		if _, errs, code, left := s.lone(args...); code != exitDone || len(left) > 0 {
			t.Errorf("%v: exit %d, left %v\n%s", args, code, left, errs)
		}
	}
}

// No command that reads or mends creates a store.
func TestNoStoreByAccident(t *testing.T) {
	t.Parallel()
	s := newSetup(t, map[string]string{"etc/callpoint.env": machineEnv, "etc/salesforce_consumer_secret": orgsim.DefaultClientSecret})
	lines := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(lines, []byte(`{"bizible_id":"a1b2c3d4","at":"2026-11-23T12:00:00Z","url":"https://www.example.com/"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "CALLPOINT_LISTEN=127.0.0.1:1")
	for _, args := range [][]string{
		{"--sync-once"}, {"import", lines}, {"calls"}, {"explain", "00THs00000TestAAAQ"}, {"report"}, {"report", "--revenue"}, {"status"}, {"parked"},
		{"parked", "retry"}, {"reconcile"}, {"reconcile", "--fix"}, {"retract", "--yes"}, {"retract", "--undo"}, {"forget", "abc123"},
		{"store", "check"}, {"store", "compact"}, {"store", "backup", "copy.db"}, {"channels", "diff", "../../mapping/data/channels.csv"},
	} {
		_, errs, code, left := s.lone(args...)
		if code == exitDone || len(left) > 0 || errs == "" {
			t.Errorf("%v: exit %d, left %v\n%s", args, code, left, errs)
		}
	}
	if _, errs, code, left := s.lone("calls"); code != exitFailed || len(left) > 0 ||
		!strings.Contains(errs, "no daemon answers at 127.0.0.1:1, and there is no store at ./callpoint.db") {
		t.Errorf("calls: exit %d, left %v\n%s", code, left, errs)
	}
	if _, errs, code, left := s.lone("check"); code != exitDone || len(left) > 0 {
		t.Errorf("check: exit %d, left %v\n%s", code, left, errs)
	}
}

// An explicit path is created, with the owner of its folder.
func TestStoreBelongsToTheOwnerOfItsFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	b := newBench(t)
	if err := os.Chown(filepath.Dir(b.store), 4242, 4243); err != nil {
		t.Fatal(err)
	}
	b.syncOnce()
	fi, err := os.Stat(b.store)
	if err != nil {
		t.Fatal(err)
	}
	if o := fi.Sys().(*syscall.Stat_t); o.Uid != 4242 || o.Gid != 4243 || fi.Mode().Perm() != 0o600 {
		t.Errorf("the store has owner %d:%d and mode %v", o.Uid, o.Gid, fi.Mode())
	}
}

// A login of the machine is never sent to another org that the environment names.
func TestSecretsStayWithTheirOrg(t *testing.T) {
	s := newSetup(t, map[string]string{"etc/callpoint.env": machineEnv + "CALLPOINT_RETENTION=30d\n", "etc/salesforce_consumer_secret": "s3cret"})
	old := systemConfig
	systemConfig = filepath.Join(s.root, "etc/callpoint.env")
	t.Cleanup(func() { systemConfig = old })
	c, err := loadConfig([]string{"SALESFORCE_DOMAIN=https://other.my.salesforce.com"}, systemConfig)
	if err != nil {
		t.Fatal(err)
	}
	if c.ConsumerKey != "" || !c.ConsumerSecret.IsZero() || c.Domain != "https://other.my.salesforce.com" || c.Retention != 30*24*time.Hour {
		t.Errorf("the login for %s has key %q and secret %q", c.Domain, c.ConsumerKey, c.ConsumerSecret.Reveal())
	}
	if c, err = loadConfig([]string{"SALESFORCE_DOMAIN=" + s.url}, systemConfig); err != nil || c.ConsumerSecret.Reveal() != "s3cret" {
		t.Errorf("the same org: secret %q, %v", c.ConsumerSecret.Reveal(), err)
	}
}

func TestSourcesOfSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	envFile := file("etc/callpoint.env", "CALLPOINT_LOG_FORMAT=json\n")
	file("etc/salesforce_consumer_secret", "beside\n")
	file("creds/salesforce_consumer_secret", "credential\n")
	file("empty/salesforce_consumer_secret", "\n") // what SetCredential= of the units gives
	named := file("named", " from a file \n")
	for _, c := range []struct {
		name, file string
		env        []string
		want, err  string
	}{
		{name: "the environment wins", file: envFile, env: []string{"SALESFORCE_CONSUMER_SECRET=own"}, want: "own"},
		{name: "a named file", file: envFile, env: []string{"SALESFORCE_CONSUMER_SECRET_FILE=" + named}, want: "from a file"},
		{name: "a credential", file: envFile, env: []string{"CREDENTIALS_DIRECTORY=" + dir + "/creds"}, want: "credential"},
		{name: "an empty credential is none", file: envFile, env: []string{"CREDENTIALS_DIRECTORY=" + dir + "/empty"}, want: "beside"},
		{name: "beside the env file", file: envFile, want: "beside"},
		{name: "nothing", want: ""},
		{name: "an absent credential is none", env: []string{"CREDENTIALS_DIRECTORY=" + dir + "/nowhere"}, want: ""},
		{name: "both", env: []string{"SALESFORCE_CONSUMER_SECRET=own", "SALESFORCE_CONSUMER_SECRET_FILE=" + named}, err: "SALESFORCE_CONSUMER_SECRET and SALESFORCE_CONSUMER_SECRET_FILE are both set"},
		{name: "a named file that is not there", env: []string{"SALESFORCE_CONSUMER_SECRET_FILE=" + dir + "/nowhere"}, err: "SALESFORCE_CONSUMER_SECRET_FILE: " + dir + "/nowhere does not exist or is empty"},
		// The daemon's user cannot read what root named; systemd has handed it over.
		{name: "a named file that is unreadable, with a credential", env: []string{"SALESFORCE_CONSUMER_SECRET_FILE=" + dir, "CREDENTIALS_DIRECTORY=" + dir + "/creds"}, want: "credential"},
	} {
		got, err := loadConfig(c.env, c.file)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil || got.ConsumerSecret.Reveal() != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got.ConsumerSecret.Reveal(), err, c.want)
		}
	}
}

// Durations take days in every variable that is one.
func TestDurationsTakeDays(t *testing.T) {
	t.Parallel()
	n := 0
	for _, v := range variables() {
		if !v.duration {
			continue
		}
		n++
		if _, err := loadConfig([]string{v.name + "=2d"}, ""); err != nil {
			t.Errorf("%s=2d: %v", v.name, err)
		}
		_, err := loadConfig([]string{v.name + "=2 days"}, "")
		if want := v.name + "=2 days is not a duration; use for example 90d"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s=2 days: %v, want %s", v.name, err, want)
		}
	}
	if n < 8 {
		t.Errorf("%d durations", n)
	}
	c, err := loadConfig([]string{"CALLPOINT_START=30d", "CALLPOINT_RETENTION=1w", "CALLPOINT_SESSION_TIMEOUT=1h30m"}, "")
	if err != nil || c.Start.back != 720*time.Hour || c.Retention != 168*time.Hour || c.SessionTimeout != 90*time.Minute {
		t.Errorf("%v %v %v %v", c.Start, c.Retention, c.SessionTimeout, err)
	}
}

// The units hand over every secret that the program knows, and start without any of them.
func TestUnitsHandOverEverySecret(t *testing.T) {
	t.Parallel()
	for unit, needs := range map[string]func(name string) bool{
		"systemd/callpoint.service":       func(name string) bool { return name != "callpoint_forward_token" },
		"systemd/callpoint-sync.service":  func(name string) bool { return name != "callpoint_forward_token" },
		"systemd/callpoint-relay.service": func(name string) bool { return name == "callpoint_token" || name == "callpoint_forward_token" },
	} {
		text := read(t, unit)
		for _, v := range variables() {
			name := strings.ToLower(v.name)
			if v.secret && needs(name) && !strings.Contains(text, "\nLoadCredential="+name+":/etc/callpoint/"+name+"\nSetCredential="+name+":\\n\n") {
				t.Errorf("%s does not load %s from /etc/callpoint, with a blank SetCredential= as its default", unit, name)
			}
		}
	}
}

// The program names the version that its package has: packaging/version.sh.
func TestVersionSorts(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"v1.2.3": "1.2.3", "v1.2.3+dirty": "1.2.3", "(devel)": "(devel)",
		"v0.0.0-20261125205226-e172c6f34cd8": "0.0.0~20261125205226.e172c6f34cd8", "v0.0.0-20261125205226-e172c6f34cd8+dirty": "0.0.0~20261125205226.e172c6f34cd8",
		"v1.2.4-0.20261125205226-e172c6f34cd8": "1.2.3+20261125205226.e172c6f34cd8", "v0.0.1-0.20261125205226-e172c6f34cd8": "0.0.0+20261125205226.e172c6f34cd8",
	} {
		if got := sortable(given); got != want {
			t.Errorf("%s is %s, want %s", given, got, want)
		}
	}
}
