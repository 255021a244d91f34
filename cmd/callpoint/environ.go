package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"callpoint/when"

	"github.com/sethvargo/go-envconfig"
)

// startTime is a duration back from now, a day, or an RFC 3339 time.
type startTime struct {
	back time.Duration
	at   time.Time
}

func (s *startTime) EnvDecode(v string) error {
	if d, err := when.Duration(v); err == nil {
		s.back = d
		return nil
	}
	t, err := when.Time(v, time.Time{})
	if err != nil {
		return errors.New("neither a duration back such as 30d or 720h, nor a day or an RFC 3339 time such as 2026-11-01T00:00:00Z")
	}
	s.at = t
	return nil
}

// from returns the time that s means at now.
func (s startTime) from(now time.Time) time.Time {
	if !s.at.IsZero() {
		return s.at
	}
	return now.Add(-s.back)
}

// share is a percentage, as a part of one.
type share float64

func (s *share) EnvDecode(v string) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(v), "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !percent || !(n >= 0 && n <= 100) {
		return errors.New("not a percentage from 0% to 100%, such as 10%")
	}
	*s = share(n / 100)
	return nil
}

// zoneName is a time zone by its IANA name; nil where none is set.
type zoneName struct{ location *time.Location }

func (z *zoneName) EnvDecode(v string) (err error) {
	z.location, err = when.Zone(v)
	return err
}

// variable is one name that Config knows.
type variable struct {
	name     string
	secret   bool
	duration bool
}

func variables() []variable {
	var all []variable
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("env"), ",")
		if name != "" {
			all = append(all, variable{name, t.Field(i).Tag.Get("secret") != "", t.Field(i).Type == reflect.TypeFor[time.Duration]()})
		}
	}
	return all
}

// Where a set-up of this machine lies: what packages install and callpoint init fills.
// Tests move them.
var (
	systemConfig = "/etc/callpoint/callpoint.env"
	systemStore  = "/var/lib/callpoint/callpoint.db"
)

// systemSettings returns the env file to read where none is named: the machine's own, if it
// exists. unread is why that file cannot be read; under systemd that is no error, because
// systemd has read it.
func (p *program) systemSettings() (envFile string, unread error) {
	f, err := os.Open(systemConfig)
	if err == nil {
		return systemConfig, f.Close()
	}
	if errors.Is(err, os.ErrNotExist) || p.env("STATE_DIRECTORY") != "" {
		return "", nil
	}
	return "", fmt.Errorf("%w; run the command as root, or name another file with --env-file", err)
}

// loadConfig reads the environment, and under it the env file if one is named, with the
// secrets that lie beside it. It returns every problem, each with the variable's name.
func loadConfig(environ []string, envFile string) (Config, error) {
	env, folder := map[string]string{}, ""
	if envFile != "" {
		file, err := readEnvFile(envFile)
		if err != nil {
			return Config{}, fmt.Errorf("--env-file: %w", err)
		}
		for k, v := range file {
			env[k] = v
		}
		folder = filepath.Dir(envFile)
		exportProcessVariables(file)
	}
	own := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		own[k] = v
	}
	if domain := own["SALESFORCE_DOMAIN"]; domain != "" && envFile == systemConfig && domain != env["SALESFORCE_DOMAIN"] {
		// The machine's login is for another org: its secrets must not be sent to this one.
		maps.DeleteFunc(env, func(name, _ string) bool { return strings.HasPrefix(name, "SALESFORCE_") })
		folder = ""
	}
	maps.Copy(env, own)
	var problems []error
	vars := variables()
	for _, v := range vars {
		if v.secret {
			problems = append(problems, readSecret(env, v.name, folder))
		}
	}
	problems = append(problems, unknown(env, vars)...)
	for k, v := range env {
		if v == "" {
			delete(env, k) // KEY= in a file means: not set
		}
	}
	c, err := parse(env, vars)
	problems = append(problems, err)
	if err == nil {
		c.EnvFile = envFile
		c.defaults(env)
		problems = append(problems, c.validate()...)
		problems = append(problems, c.applySources())
		c.applyVendor()
	}
	return c, errors.Join(problems...)
}

// readSecret sets the variable name from the first of its sources that is there: the file
// that X_FILE names, systemd's credentials, or a file beside the env file. An empty
// credential or file counts as absent, because the unit declares one for every secret.
func readSecret(env map[string]string, name, folder string) error {
	named := env[name+"_FILE"]
	delete(env, name+"_FILE")
	if named != "" && env[name] != "" {
		return fmt.Errorf("%s and %s_FILE are both set: unset one", name, name)
	}
	if env[name] != "" {
		return nil
	}
	credential := ""
	if dir := env["CREDENTIALS_DIRECTORY"]; dir != "" {
		var err error
		if credential, err = secretFile(filepath.Join(dir, strings.ToLower(name))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case named != "":
		secret, err := secretFile(named)
		switch {
		case err != nil && credential != "":
			secret = credential // systemd read the file as root
		case err != nil:
			return fmt.Errorf("%s_FILE: %w", name, err)
		case secret == "":
			return fmt.Errorf("%s_FILE: %s does not exist or is empty", name, named)
		}
		env[name] = secret
	case credential != "":
		env[name] = credential
	case folder != "":
		secret, err := secretFile(filepath.Join(folder, strings.ToLower(name)))
		if err != nil {
			return fmt.Errorf("%s: %w; run the command as root", name, err)
		}
		env[name] = secret
	}
	return nil
}

// secretFile returns the content of a file without a byte-order mark and the blanks around
// it; empty where there is no such file.
func secretFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff")), err
}

// unknown finds names that look like ours and are not: a misspelt setting is no default.
func unknown(env map[string]string, vars []variable) (problems []error) {
	var names []string
	for k := range env {
		ours := strings.HasPrefix(k, "CALLPOINT_") || strings.HasPrefix(k, "SALESFORCE_")
		if ours && !slices.ContainsFunc(vars, func(v variable) bool { return v.name == k }) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		problems = append(problems, fmt.Errorf("%s: unknown variable%s", k, nearest(k, vars)))
	}
	return problems
}

func nearest(name string, vars []variable) string {
	var names []string
	for _, v := range vars {
		names = append(names, v.name)
	}
	return cmp.Or(similar(name, names), "; config.example.env lists all")
}

// similar returns "; did you mean X?" for the name that value is a misspelling of, or "".
func similar(value string, names []string) string {
	if value == "" || slices.Contains(names, value) {
		return ""
	}
	best, found := min(4, 2+len(value)/3), ""
	for _, name := range names {
		if d := distance(strings.ToLower(value), strings.ToLower(name)); d < best {
			best, found = d, name
		}
	}
	if found == "" {
		return ""
	}
	return "; did you mean " + found + "?"
}

// distance returns the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// parse decodes each variable by itself first, so that every bad one is named.
func parse(env map[string]string, vars []variable) (Config, error) {
	var problems []error
	for _, v := range vars {
		value, set := env[v.name]
		if !set {
			continue
		}
		if v.duration {
			d, err := when.Duration(value)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s=%s is %w", v.name, value, err))
				continue
			}
			env[v.name] = d.String()
			continue
		}
		one := map[string]string{v.name: value}
		err := envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: &Config{}, Lookuper: envconfig.MapLookuper(one)})
		if err != nil && v.secret {
			err = errors.New("not readable") // the library's error holds the value
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", v.name, err))
		}
	}
	var c Config
	if err := errors.Join(problems...); err != nil {
		return c, err
	}
	return c, envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: &c, Lookuper: envconfig.MapLookuper(env)})
}
