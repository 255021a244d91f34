package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	project "callpoint"
	"callpoint/store"
)

// The secrets of a set-up, beside its env file.
const (
	consumerSecretFile = "salesforce_consumer_secret"
	privateKeyFile     = "salesforce_private_key"
)

// loginSecrets are the files of every login flow; those of a flow that is not used are moved
// aside.
var loginSecrets = []string{consumerSecretFile, privateKeyFile, "salesforce_password", "salesforce_security_token", "salesforce_access_token"}

// setupFiles are the files of a set-up in one folder, as they are on disk and as they are to
// be.
type setupFiles struct {
	dir, envFile string
	old          string            // the env file's text; empty where there is none
	text         string            // what it is to be
	env          map[string]string // what old sets
}

// openSetup reads the set-up in a folder, which need not exist.
func openSetup(dir string) (*setupFiles, error) {
	s := &setupFiles{dir: dir, envFile: filepath.Join(dir, filepath.Base(systemConfig)), env: map[string]string{}}
	b, err := os.ReadFile(s.envFile)
	if errors.Is(err, os.ErrNotExist) {
		s.text = project.ConfigExample
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.old, s.text = string(b), string(b)
	if s.env, err = parseEnvFile(s.old); err != nil {
		return nil, fmt.Errorf("%s: %w", s.envFile, err)
	}
	return s, nil
}

// exampleDomain is what config.example.env names; a file with it is not filled in yet.
const exampleDomain = "https://example.my.salesforce.com"

// domain returns the org of an existing configuration, or "".
func (s *setupFiles) domain() string {
	if d := s.env["SALESFORCE_DOMAIN"]; d != exampleDomain {
		return d
	}
	return ""
}

// site returns the first of the names under which the collector is reached, as an address.
func (s *setupFiles) site() string {
	if host, _, _ := strings.Cut(s.env["CALLPOINT_HOSTS"], ","); host != "" {
		return "https://" + strings.TrimSpace(host)
	}
	return ""
}

// addHost puts the site's name first among the accepted Host headers.
func (s *setupFiles) addHost(site string) {
	u, err := url.Parse(site)
	if err != nil {
		return // validated
	}
	hosts := []string{u.Hostname()}
	for host := range strings.SplitSeq(s.env["CALLPOINT_HOSTS"], ",") {
		if host = strings.TrimSpace(host); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	s.set("CALLPOINT_HOSTS", strings.Join(hosts, ","))
}

func (s *setupFiles) has(name string) bool { return exists(filepath.Join(s.dir, name)) }

// secret returns the content of a secret's file, or what the env file itself sets.
func (s *setupFiles) secret(name string) string {
	if b, err := os.ReadFile(filepath.Join(s.dir, name)); err == nil && len(strings.TrimSpace(string(b))) > 0 {
		return strings.TrimSpace(string(b))
	}
	variable := strings.ToUpper(name)
	if path := s.env[variable+"_FILE"]; path != "" {
		if b, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	return s.env[variable]
}

// plainValue needs no quotes in an env file.
var plainValue = regexp.MustCompile(`^[\w.:/@%+,=~-]*$`)

// set makes the text set a variable: in its line, in the place of the line that shows its
// default, or at the end. Without a value, only a line that sets one is changed.
func (s *setupFiles) set(name, value string) {
	if s.env[name] == value && s.old != "" {
		return
	}
	line := name + "=" + value
	if !plainValue.MatchString(value) {
		line = name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	set := regexp.MustCompile(`(?m)^` + name + `=.*$`)
	shown := regexp.MustCompile(`(?m)^# ?` + name + `=.*$`)
	replaceFirst := func(r *regexp.Regexp) bool {
		at := r.FindStringIndex(s.text)
		if at != nil {
			s.text = s.text[:at[0]] + line + s.text[at[1]:]
		}
		return at != nil
	}
	switch {
	case replaceFirst(set), value == "", replaceFirst(shown):
	default:
		s.text = strings.TrimSuffix(s.text, "\n") + "\n" + line + "\n"
	}
}

// save writes what differs, secrets first, and returns the paths that changed. Secrets are
// readable by their owner alone; those that are empty here are moved aside.
func (s *setupFiles) save(secrets map[string]string) (changed []string, err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	write := func(path, content string, mode os.FileMode) error {
		did, err := writeIfChanged(path, content, mode)
		if did {
			changed = append(changed, path)
		}
		return err
	}
	for _, name := range loginSecrets {
		path := filepath.Join(s.dir, name)
		if secrets[name] != "" {
			err = write(path, secrets[name]+"\n", 0o600)
		} else if exists(path) {
			changed = append(changed, path+".unused")
			err = os.Rename(path, path+".unused")
		}
		if err != nil {
			return changed, err
		}
	}
	return changed, write(s.envFile, s.text, 0o640)
}

// writeIfChanged replaces a file whose content differs, in one step, and keeps its owner. It
// takes away permissions beyond mode, and never adds any.
func writeIfChanged(path, content string, mode os.FileMode) (changed bool, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	fi, err := os.Lstat(path)
	if err == nil {
		if !fi.Mode().IsRegular() {
			return false, fmt.Errorf("%s is not a regular file", path)
		}
		if fi.Mode().Perm()&^mode != 0 {
			changed = true
			err = os.Chmod(path, fi.Mode().Perm()&mode)
		}
		mode = fi.Mode().Perm() & mode
		old, rerr := os.ReadFile(path)
		if err = errors.Join(err, rerr); err != nil || string(old) == content {
			return changed, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".callpoint-init-*")
	if err != nil {
		return changed, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	if fi != nil && os.Geteuid() == 0 {
		if owner, ok := fi.Sys().(*syscall.Stat_t); ok {
			err = errors.Join(err, f.Chown(int(owner.Uid), int(owner.Gid)))
		}
	}
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return changed, err
	}
	return true, os.Rename(f.Name(), path)
}

// createStore creates the store of a configuration, if there is none.
func createStore(c Config) (created bool, err error) {
	if c.storeExists() {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Store), 0o700); err != nil {
		return false, err
	}
	s, err := store.Open(c.Store, c.storeOptions())
	if err != nil {
		return false, err
	}
	return true, s.Close()
}
