package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joho/godotenv"
	"github.com/sethvargo/go-envconfig"
)

// startTime is a duration back from now, or an RFC 3339 time.
type startTime struct {
	back time.Duration
	at   time.Time
}

func (s *startTime) EnvDecode(v string) error {
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		s.back = d
		return nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return fmt.Errorf("neither a duration such as 720h nor an RFC 3339 time such as 2026-11-01T00:00:00Z")
	}
	s.at = t
	return nil
}

// from gives the time that it means at now.
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
		return fmt.Errorf("not a percentage from 0%% to 100%%, such as 10%%")
	}
	*s = share(n / 100)
	return nil
}

// variable is one name that Config knows.
type variable struct {
	name   string
	secret bool
}

func variables() []variable {
	var all []variable
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("env"), ",")
		all = append(all, variable{name, t.Field(i).Tag.Get("secret") != ""})
	}
	return all
}

// loadConfig reads the environment, and under it the env file if one is named. It
// returns every problem, each with the variable's name.
func loadConfig(environ []string, envFile string) (Config, error) {
	env := map[string]string{}
	if envFile != "" {
		file, err := godotenv.Read(envFile)
		if err != nil {
			return Config{}, fmt.Errorf("--env-file: %w", err)
		}
		for k, v := range file {
			env[k] = v
		}
	}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	var problems []error
	vars := variables()
	for _, v := range vars {
		if v.secret {
			problems = append(problems, readSecret(env, v.name))
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
		c.defaults(env)
		problems = append(problems, c.validate()...)
		c.applyVendor()
	}
	return c, errors.Join(problems...)
}

// readSecret replaces X_FILE, or a credential of systemd, by X.
func readSecret(env map[string]string, name string) error {
	path := env[name+"_FILE"]
	delete(env, name+"_FILE")
	if path == "" && env[name] == "" && env["CREDENTIALS_DIRECTORY"] != "" {
		credential := filepath.Join(env["CREDENTIALS_DIRECTORY"], strings.ToLower(name))
		if _, err := os.Stat(credential); err == nil {
			path = credential
		}
	}
	switch {
	case path == "":
		return nil
	case env[name] != "":
		return fmt.Errorf("%s and %s_FILE are both set: unset one", name, name)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s_FILE: %w", name, err)
	}
	env[name] = strings.TrimSpace(string(b))
	return nil
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
	best, found := 4, ""
	for _, v := range vars {
		if d := distance(name, v.name); d < best {
			best, found = d, v.name
		}
	}
	if found == "" {
		return "; config.example.env lists all"
	}
	return "; did you mean " + found + "?"
}

// distance is Levenshtein's.
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
