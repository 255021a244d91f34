package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"

	"github.com/joho/godotenv"
	"github.com/sethvargo/go-envconfig"
)

// Config is everything that environment variables set. A secret X may also come from
// a file named by X_FILE, or from systemd's credentials directory as x.
type Config struct {
	Domain         string            `env:"SALESFORCE_DOMAIN"`
	ConsumerKey    string            `env:"SALESFORCE_CONSUMER_KEY"`
	ConsumerSecret salesforce.Secret `env:"SALESFORCE_CONSUMER_SECRET" secret:"true"`
	Username       string            `env:"SALESFORCE_USERNAME"`
	Password       salesforce.Secret `env:"SALESFORCE_PASSWORD" secret:"true"`
	SecurityToken  salesforce.Secret `env:"SALESFORCE_SECURITY_TOKEN" secret:"true"`
	PrivateKey     salesforce.Secret `env:"SALESFORCE_PRIVATE_KEY" secret:"true"`
	AccessToken    salesforce.Secret `env:"SALESFORCE_ACCESS_TOKEN" secret:"true"`

	Store          string            `env:"CALLPOINT_STORE"`
	StoreMaxSize   byteSize          `env:"CALLPOINT_STORE_MAX_SIZE, default=0"`
	StoreFreeFloor byteSize          `env:"CALLPOINT_STORE_FREE_FLOOR, default=256MiB"`
	Listen         string            `env:"CALLPOINT_LISTEN, default=127.0.0.1:8425"`
	Token          salesforce.Secret `env:"CALLPOINT_TOKEN" secret:"true"`
	Hosts          []string          `env:"CALLPOINT_HOSTS"`
	TrustedProxies []netip.Prefix    `env:"CALLPOINT_TRUSTED_PROXIES, default=127.0.0.0/8,::1/128"`

	PollInterval time.Duration `env:"CALLPOINT_POLL_INTERVAL, default=1m"`
	PollOverlap  time.Duration `env:"CALLPOINT_POLL_OVERLAP, default=10m"`
	Start        startTime     `env:"CALLPOINT_START, default=720h"`

	Vendor         string   `env:"CALLPOINT_VENDOR, default=generic"`
	TaskFilter     string   `env:"CALLPOINT_TASK_FILTER"`
	BizibleIDField string   `env:"CALLPOINT_BIZIBLE_ID_FIELD"`
	CallTime       []string `env:"CALLPOINT_CALL_TIME"`
	CallCampaign   string   `env:"CALLPOINT_CALL_CAMPAIGN, default=Phone Call"`

	SessionTimeout    time.Duration `env:"CALLPOINT_SESSION_TIMEOUT, default=30m"`
	SessionWindow     time.Duration `env:"CALLPOINT_SESSION_WINDOW, default=30m"`
	SessionWindowFrom string        `env:"CALLPOINT_SESSION_WINDOW_FROM, default=last"`
	ClockSkew         time.Duration `env:"CALLPOINT_CLOCK_SKEW, default=60s"`
	UnmatchedHold     time.Duration `env:"CALLPOINT_UNMATCHED_HOLD, default=10m"`
	ChannelCarryover  time.Duration `env:"CALLPOINT_CHANNEL_CARRYOVER, default=0s"`
	OwnDomains        []string      `env:"CALLPOINT_OWN_DOMAINS"`
	IgnoredReferrers  []string      `env:"CALLPOINT_IGNORED_REFERRERS"`
	BeforeCollection  string        `env:"CALLPOINT_BEFORE_COLLECTION, default=skip"`
	Retract           string        `env:"CALLPOINT_RETRACT, default=keep"`

	Channels string `env:"CALLPOINT_CHANNELS"`
	Fields   string `env:"CALLPOINT_FIELDS"`
	Reason   string `env:"CALLPOINT_REASON_FIELD"`
	GeoIP    string `env:"CALLPOINT_GEOIP"`

	Touchpoints      string `env:"CALLPOINT_TOUCHPOINTS, default=calls"`
	Persons          string `env:"CALLPOINT_PERSONS, default=create"`
	TouchpointObject string `env:"CALLPOINT_TOUCHPOINT_OBJECT, default=bizible2__Bizible_Touchpoint__c"`
	ExternalIDField  string `env:"CALLPOINT_EXTERNAL_ID_FIELD, default=bizible2__UniqueId__c"`
	BatchSize        int    `env:"CALLPOINT_BATCH_SIZE, default=200"`
	DryRun           bool   `env:"CALLPOINT_DRY_RUN, default=false"`

	APIBudget  int   `env:"CALLPOINT_API_BUDGET, default=5000"`
	APIReserve share `env:"CALLPOINT_API_RESERVE, default=10%"`

	Retention time.Duration `env:"CALLPOINT_RETENTION, default=2160h"`
	LogLevel  string        `env:"CALLPOINT_LOG_LEVEL, default=info"`
	LogFormat string        `env:"CALLPOINT_LOG_FORMAT"`
}

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

// defaults fills in what depends on the surroundings.
func (c *Config) defaults(env map[string]string) {
	if c.Store == "" {
		c.Store = "callpoint.db"
		if dir := env["STATE_DIRECTORY"]; dir != "" {
			c.Store = filepath.Join(dir, "callpoint.db")
		}
	}
	if c.LogFormat == "" {
		c.LogFormat = "json"
		if isTerminal(os.Stderr) {
			c.LogFormat = "text"
		}
	}
}

// validate finds values that make no sense, alone or together.
func (c *Config) validate() (problems []error) {
	bad := func(name, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"CALLPOINT_POLL_INTERVAL", c.PollInterval, time.Second},
		{"CALLPOINT_POLL_OVERLAP", c.PollOverlap, 0},
		{"CALLPOINT_SESSION_TIMEOUT", c.SessionTimeout, time.Second},
		{"CALLPOINT_SESSION_WINDOW", c.SessionWindow, time.Second},
		{"CALLPOINT_CLOCK_SKEW", c.ClockSkew, 0},
		{"CALLPOINT_UNMATCHED_HOLD", c.UnmatchedHold, 0},
		{"CALLPOINT_CHANNEL_CARRYOVER", c.ChannelCarryover, 0},
		{"CALLPOINT_RETENTION", c.Retention, time.Hour},
	} {
		if d.value < d.least {
			bad(d.name, "%s is too short: at least %s", d.value, d.least)
		}
	}
	for _, e := range []struct {
		name, value string
		allowed     []string
	}{
		{"CALLPOINT_SESSION_WINDOW_FROM", c.SessionWindowFrom, []string{"last", "start"}},
		{"CALLPOINT_BEFORE_COLLECTION", c.BeforeCollection, []string{"skip", "write"}},
		{"CALLPOINT_RETRACT", c.Retract, []string{"keep", "delete"}},
		{"CALLPOINT_TOUCHPOINTS", c.Touchpoints, []string{"calls", "journey"}},
		{"CALLPOINT_PERSONS", c.Persons, []string{engine.PersonsCreate, engine.PersonsReuse, engine.PersonsOff}},
		{"CALLPOINT_VENDOR", c.Vendor, vendorNames()},
		{"CALLPOINT_LOG_LEVEL", c.LogLevel, []string{"debug", "info", "warn", "error"}},
		{"CALLPOINT_LOG_FORMAT", c.LogFormat, []string{"text", "json"}},
	} {
		if !slices.Contains(e.allowed, e.value) {
			bad(e.name, "%q is none of %s", e.value, strings.Join(e.allowed, ", "))
		}
	}
	if c.StoreMaxSize > 0 && c.StoreMaxSize < 16<<20 {
		bad("CALLPOINT_STORE_MAX_SIZE", "%d bytes are too few: at least 16MiB, or 0 for no limit", c.StoreMaxSize)
	}
	if c.APIBudget < 1 {
		bad("CALLPOINT_API_BUDGET", "%d calls a day are too few: at least 1", c.APIBudget)
	}
	if c.BatchSize < 25 || c.BatchSize > 200 {
		bad("CALLPOINT_BATCH_SIZE", "%d is not between 25 and 200", c.BatchSize)
	}
	if f := c.taskReason(); f != "" && !fieldName.MatchString(f) {
		bad("CALLPOINT_REASON_FIELD", "%q is no name of a field", f)
	}
	if !c.listensOnLoopback() && c.Token.IsZero() {
		bad("CALLPOINT_TOKEN", "required, because CALLPOINT_LISTEN=%s is open beyond this machine; set a long random string", c.Listen)
	}
	return problems
}

// fieldName is what Salesforce calls fields.
var fieldName = regexp.MustCompile(`^[A-Za-z]\w*$`)

func (c *Config) listensOnLoopback() bool {
	if strings.HasPrefix(c.Listen, "unix:") {
		return true
	}
	host := c.Listen
	if i := strings.LastIndex(host, ":"); i >= 0 {
		host = host[:i]
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// rules are the choices that mapping follows, and a fingerprint of all that they
// depend on: a change of it maps every stored call again.
type rules struct {
	settings    *mapping.Settings
	fingerprint string
	warnings    []mapping.Problem // of the channel rules
}

// taskPrefix in CALLPOINT_REASON_FIELD says that the field is the Task's.
const taskPrefix = "task."

// taskReason is the Task's field that takes a call's reason; empty where none does.
func (c *Config) taskReason() string {
	if len(c.Reason) > len(taskPrefix) && strings.EqualFold(c.Reason[:len(taskPrefix)], taskPrefix) {
		return c.Reason[len(taskPrefix):]
	}
	return ""
}

// rules reads the files of channel rules and fields anew. Every problem comes at once.
func (c *Config) rules() (rules, error) {
	s := mapping.Default()
	s.SessionTimeout, s.SessionWindow, s.WindowFromStart = c.SessionTimeout, c.SessionWindow, c.SessionWindowFrom == "start"
	s.ClockSkew, s.UnmatchedHold, s.ChannelCarryover = c.ClockSkew, c.UnmatchedHold, c.ChannelCarryover
	s.OwnDomains, s.IgnoredReferrers = c.OwnDomains, c.IgnoredReferrers
	s.WriteBeforeCollection = c.BeforeCollection == "write"
	s.RetractDelete, s.Journey = c.Retract == "delete", c.Touchpoints == "journey"
	s.Persons, s.CallCampaign = c.Persons != engine.PersonsOff, c.CallCampaign
	if c.BizibleIDField != "" {
		s.BizibleIDField = c.BizibleIDField
	}
	if len(c.CallTime) > 0 {
		s.CallTime = c.CallTime
	}
	channels, fields := mapping.DefaultChannels(), mapping.DefaultFieldsFile()
	r := rules{settings: s}
	var problems []error
	var err error
	if c.Channels != "" {
		if channels, err = os.ReadFile(c.Channels); err == nil {
			s.Rules, r.warnings, err = mapping.ParseRules(channels)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("CALLPOINT_CHANNELS=%s: %w", c.Channels, err))
		}
	}
	own := []byte(nil)
	if c.Fields != "" {
		own, err = os.ReadFile(c.Fields)
		if err != nil {
			problems = append(problems, fmt.Errorf("CALLPOINT_FIELDS=%s: %w", c.Fields, err))
		}
	}
	if c.Reason != "" && c.taskReason() == "" {
		own = fmt.Appendf(own, "\n%s = reason\n", c.Reason)
	}
	if len(own) > 0 {
		fields = own
		if s.Fields, err = mapping.ParseFields(own); err != nil {
			problems = append(problems, fmt.Errorf("CALLPOINT_FIELDS=%s, CALLPOINT_REASON_FIELD=%s: %w", c.Fields, c.Reason, err))
		}
	}
	r.fingerprint = c.fingerprint(channels, fields)
	return r, errors.Join(problems...)
}

func (c *Config) fingerprint(channels, fields []byte) string {
	b, _ := json.Marshal([]any{c.SessionTimeout, c.SessionWindow, c.SessionWindowFrom, c.ClockSkew, c.UnmatchedHold,
		c.ChannelCarryover, c.OwnDomains, c.IgnoredReferrers, c.BeforeCollection, c.Retract, c.Touchpoints, c.Persons,
		c.CallCampaign, channels, fields})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// salesforce is the client's part.
func (c *Config) salesforce() salesforce.Config {
	return salesforce.Config{
		Domain: c.Domain, ConsumerKey: c.ConsumerKey, ConsumerSecret: c.ConsumerSecret,
		Username: c.Username, Password: c.Password, SecurityToken: c.SecurityToken,
		PrivateKey: c.PrivateKey, AccessToken: c.AccessToken,
	}
}
