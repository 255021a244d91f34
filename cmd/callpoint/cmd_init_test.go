package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

// snapshot returns every file below a folder, with its mode and content, but for the store.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err != nil || !fi.Mode().IsRegular() || strings.HasSuffix(path, ".db") {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = fi.Mode().String() + " " + fi.ModTime().String() + "\n" + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *setup) mode(name string, want os.FileMode) {
	s.t.Helper()
	fi, err := os.Stat(filepath.Join(s.root, name))
	if err != nil || fi.Mode().Perm() != want {
		s.t.Errorf("%s: %v, %v, want mode %v", name, fi, err, want)
	}
}

// From nothing to a first cycle: init, then --sync-once, without any variable or flag.
func TestInit(t *testing.T) {
	t.Parallel()
	s := newSetup(t, map[string]string{"secret.txt": orgsim.DefaultClientSecret + "\n"})
	args := []string{"init", "--yes", "--domain", s.url, "--consumer-key", orgsim.DefaultClientID, "--consumer-secret-file", filepath.Join(s.root, "secret.txt"),
		"--vendor", "ctm", "--site", "www.example.com"}
	out, errs, code, left := s.lone(args...)
	if code != exitDone || len(left) > 0 {
		t.Fatalf("exit %d, left %v\n%s%s", code, left, out, errs)
	}
	for _, want := range []string{"wrote " + s.root + "/etc/callpoint.env", "ok       login", "check --permission-set",
		`<script src="https://www.example.com/callpoint.js" async></script>`, "systemctl enable --now callpoint"} {
		if !strings.Contains(out, want) {
			t.Errorf("init does not print %q:\n%s", want, out)
		}
	}
	if strings.Contains(out+errs, orgsim.DefaultClientSecret) {
		t.Error("init prints the secret")
	}
	s.mode("etc/callpoint.env", 0o640)
	s.mode("etc/salesforce_consumer_secret", 0o600)
	s.mode("var/callpoint.db", 0o600)
	c, err := loadConfig(nil, filepath.Join(s.root, "etc/callpoint.env"))
	if err != nil || c.Domain != s.url || c.Vendor != "ctm" || !slices.Equal(c.Hosts, []string{"www.example.com"}) || c.ConsumerSecret.Reveal() != orgsim.DefaultClientSecret {
		t.Errorf("configured %+v, %v", c, err)
	}
	if out, errs, code, _ := s.lone("--sync-once"); code != exitDone {
		t.Errorf("--sync-once: exit %d\n%s%s", code, out, errs)
	}

	// A second run, with and without the answers, changes nothing.
	before := snapshot(t, s.root)
	for _, again := range [][]string{args, {"init", "--yes"}, {"init", "--yes", "-o", "json"}} {
		out, errs, code, _ := s.lone(again...)
		if code != exitDone || !strings.Contains(out, "nothing to change") && !strings.Contains(out, `"changed":[]`) {
			t.Errorf("%v: exit %d\n%s%s", again, code, out, errs)
		}
		for name, content := range snapshot(t, s.root) {
			if before[name] != content {
				t.Errorf("%v changed %s", again, name)
			}
		}
	}

	// Another org needs --force, and nothing is changed without.
	other := append(slices.Clone(args), "--domain", "https://other.my.salesforce.com")
	if _, errs, code, _ := s.lone(other...); code != exitUsage || !strings.Contains(errs, "--force") || !strings.Contains(errs, s.url) {
		t.Errorf("another org: exit %d\n%s", code, errs)
	}
	for name, content := range snapshot(t, s.root) {
		if before[name] != content {
			t.Errorf("another org changed %s", name)
		}
	}
	_, _, _, _ = s.lone(append(other, "--force")...) // the check fails: nobody is there
	if c, err := loadConfig(nil, filepath.Join(s.root, "etc/callpoint.env")); err != nil || c.Domain != "https://other.my.salesforce.com" {
		t.Errorf("with --force: %s, %v", c.Domain, err)
	}
}

// Settings and comments that init does not ask for stay as they are.
func TestInitKeepsTheRest(t *testing.T) {
	t.Parallel()
	mine := "# mine\nSALESFORCE_DOMAIN=https://example.my.salesforce.com\nCALLPOINT_RETENTION=30d\nCALLPOINT_HOSTS=calls.example.com\n"
	s := newSetup(t, map[string]string{"etc/callpoint.env": mine, "secret.txt": orgsim.DefaultClientSecret})
	if out, errs, code, _ := s.lone("init", "--yes", "--domain", s.url, "--consumer-key", orgsim.DefaultClientID,
		"--consumer-secret-file", filepath.Join(s.root, "secret.txt"), "--site", "https://www.example.com"); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	b, err := os.ReadFile(filepath.Join(s.root, "etc/callpoint.env"))
	want := "# mine\nSALESFORCE_DOMAIN=" + s.url + "\nCALLPOINT_RETENTION=30d\nCALLPOINT_HOSTS=www.example.com,calls.example.com\nSALESFORCE_CONSUMER_KEY=" + orgsim.DefaultClientID + "\n"
	if err != nil || string(b) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b, want)
	}
	s.mode("etc/callpoint.env", 0o600) // it was stricter than 0640
}

func testKey(t *testing.T) (text string, key *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), key
}

// The JWT flow, in its own files, and the change of the flow in both directions.
func TestInitJWT(t *testing.T) {
	t.Parallel()
	text, key := testKey(t)
	s := newSetup(t, map[string]string{"server.key": text, "secret.txt": orgsim.DefaultClientSecret})
	s.bench.serveOrg(orgsim.Config{JWTKey: &key.PublicKey})
	jwt := []string{"init", "--yes", "--domain", s.url, "--login", "jwt", "--consumer-key", orgsim.DefaultClientID, "--jwt-username", orgsim.DefaultUsername,
		"--jwt-key-file", filepath.Join(s.root, "server.key")}
	if out, errs, code, _ := s.lone(jwt...); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	s.mode("etc/salesforce_private_key", 0o600)
	for _, args := range [][]string{{"--sync-once"}, {"init", "--yes"}} {
		if out, errs, code, _ := s.lone(args...); code != exitDone {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	// As the unit hands it over: the key as a credential, an empty one for the other flow.
	creds := t.TempDir()
	for name, content := range map[string]string{"salesforce_private_key": text, "salesforce_consumer_secret": "\n", "salesforce_password": "\n"} {
		if err := os.WriteFile(filepath.Join(creds, name), []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	c := s.command(t.Context(), "--sync-once")
	c.Env = append(slices.DeleteFunc(c.Env, func(kv string) bool { return strings.HasPrefix(kv, "SYSTEM_ROOT=") }),
		"CREDENTIALS_DIRECTORY="+creds, "STATE_DIRECTORY="+t.TempDir(), "SALESFORCE_DOMAIN="+s.url, "SALESFORCE_CONSUMER_KEY="+orgsim.DefaultClientID, "SALESFORCE_USERNAME="+orgsim.DefaultUsername)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("with credentials: %v\n%s", err, out)
	}
	if out, errs, code, _ := s.lone("init", "--yes", "--login", "client-credentials", "--consumer-secret-file", filepath.Join(s.root, "secret.txt")); code != exitDone {
		t.Errorf("to client credentials: exit %d\n%s%s", code, out, errs)
	}
	if !exists(filepath.Join(s.root, "etc/salesforce_private_key.unused")) || exists(filepath.Join(s.root, "etc/salesforce_private_key")) {
		t.Error("the key of the other flow was not moved aside")
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	s := newSetup(t, map[string]string{"secret.txt": "secret", "empty.txt": "\n"})
	secret := filepath.Join(s.root, "secret.txt")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "--domain is needed"},
		{[]string{"--domain", "https://a.my.salesforce.com"}, "--consumer-key is needed"},
		{[]string{"--domain", "https://a.my.salesforce.com", "--consumer-key", "k"}, "--consumer-secret-file is needed"},
		{[]string{"--domain", "http://a.my.salesforce.com", "--consumer-key", "k", "--consumer-secret-file", secret}, "plain http"},
		{[]string{"--domain", "https://login.salesforce.com", "--consumer-key", "k", "--consumer-secret-file", secret}, "My Domain"},
		{[]string{"--domain", "a.my.salesforce.com", "--consumer-key", "k", "--consumer-secret-file", secret + "x"}, "--consumer-secret-file: open"},
		{[]string{"--domain", "a.my.salesforce.com", "--consumer-key", "k", "--consumer-secret-file", filepath.Join(s.root, "empty.txt")}, "is empty"},
		{[]string{"--domain", "a.my.salesforce.com", "--consumer-key", "k", "--login", "jtw"}, "did you mean jwt?"},
		{[]string{"--domain", "a.my.salesforce.com", "--consumer-key", "k", "--login", "jwt", "--jwt-username", "u", "--jwt-key-file", secret}, "not an RSA private key"},
		{[]string{"--domain", "a.my.salesforce.com", "--consumer-key", "k", "--consumer-secret-file", secret, "--vendor", "calltrail"}, "did you mean callrail?"},
		{[]string{"--domain", "a.my.salesforce.com", "--consumer-key", "k", "--consumer-secret-file", secret, "--site", "https://*.example.com"}, "--site"},
	} {
		out, errs, code, left := s.lone(append([]string{"init", "--yes"}, c.args...)...)
		if (code != exitUsage && code != exitFailed) || !strings.Contains(errs, c.want) || len(left) > 0 || exists(filepath.Join(s.root, "etc")) {
			t.Errorf("%v: exit %d, left %v\n%s%s\nwant %s", c.args, code, left, out, errs, c.want)
		}
	}
}

// Without --yes the answers come from standard input, in the order of the questions.
func TestInitAsks(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	c := s.command(t.Context(), "init", "-o", "json")
	c.Stdin = strings.NewReader(s.url + "\n\n" + orgsim.DefaultClientID + "\ncallrail\n\n" + orgsim.DefaultClientSecret + "\n")
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var done initialized
	if err := json.Unmarshal(out, &done); err != nil || done.Failed != 0 || len(done.Changed) != 3 || done.Store != s.store || len(done.Next) == 0 {
		t.Errorf("%v %+v", err, done)
	}
	for _, question := range []string{"My Domain: ", "Login flow: client-credentials or jwt [client-credentials]: ", "Consumer secret (not shown): "} {
		if !strings.Contains(errs.String(), question) {
			t.Errorf("init does not ask %q:\n%s", question, errs.String())
		}
	}
}

// A check that fails leaves the configuration written, and says what to cure.
func TestInitReportsFailedChecks(t *testing.T) {
	t.Parallel()
	s := newSetup(t, map[string]string{"secret.txt": "wrong"})
	out, errs, code, _ := s.lone("init", "--yes", "--domain", s.url, "--consumer-key", orgsim.DefaultClientID, "--consumer-secret-file", filepath.Join(s.root, "secret.txt"))
	if code != exitConfig || !strings.Contains(out, "failed   login") || !strings.Contains(errs, "the configuration is written") || !exists(filepath.Join(s.root, "etc/callpoint.env")) {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
