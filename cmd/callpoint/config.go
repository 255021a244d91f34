package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// Config is everything that environment variables set. A secret X may also come from
// a file named by X_FILE, or from systemd's credentials directory as x.
type Config struct {
	EnvFile    string          // the env file that was read; empty: none
	RuntimeDir string          // systemd's directory for sockets; empty: none
	StoreNamed bool            // CALLPOINT_STORE or systemd's state directory names the store
	sources    mapping.Sources // as CALLPOINT_CALL_SOURCES or the vendor names them
	Unread     error           // why the machine's own env file could not be read

	maxSizeSet, freeFloorSet bool // CALLPOINT_STORE_MAX_SIZE and _FREE_FLOOR are set

	Domain         string            `env:"SALESFORCE_DOMAIN"`
	ConsumerKey    string            `env:"SALESFORCE_CONSUMER_KEY"`
	ConsumerSecret salesforce.Secret `env:"SALESFORCE_CONSUMER_SECRET" secret:"true"`
	Username       string            `env:"SALESFORCE_USERNAME"`
	Password       salesforce.Secret `env:"SALESFORCE_PASSWORD" secret:"true"`
	SecurityToken  salesforce.Secret `env:"SALESFORCE_SECURITY_TOKEN" secret:"true"`
	PrivateKey     salesforce.Secret `env:"SALESFORCE_PRIVATE_KEY" secret:"true"`
	AccessToken    salesforce.Secret `env:"SALESFORCE_ACCESS_TOKEN" secret:"true"`

	Store            string            `env:"CALLPOINT_STORE"`
	StorePassword    salesforce.Secret `env:"CALLPOINT_STORE_PASSWORD" secret:"true"`
	StoreMaxSize     byteSize          `env:"CALLPOINT_STORE_MAX_SIZE, default=20GiB"`
	AddressShare     share             `env:"CALLPOINT_ADDRESS_SHARE, default=1%"`
	StoreFreeFloor   byteSize          `env:"CALLPOINT_STORE_FREE_FLOOR, default=256MiB"`
	StoreConnections int               `env:"CALLPOINT_STORE_CONNECTIONS, default=10"`
	Role             string            `env:"CALLPOINT_ROLE, default=auto"`
	Lease            time.Duration     `env:"CALLPOINT_LEASE, default=10s"`
	Name             string            `env:"CALLPOINT_NAME"`
	Address          string            `env:"CALLPOINT_ADDRESS"`
	Spool            string            `env:"CALLPOINT_SPOOL"`
	SpoolMax         byteSize          `env:"CALLPOINT_SPOOL_MAX, default=1GiB"`
	Forward          string            `env:"CALLPOINT_FORWARD"`
	ForwardToken     salesforce.Secret `env:"CALLPOINT_FORWARD_TOKEN" secret:"true"`
	Listen           string            `env:"CALLPOINT_LISTEN, default=127.0.0.1:8425"`
	Token            salesforce.Secret `env:"CALLPOINT_TOKEN" secret:"true"`
	Hosts            []string          `env:"CALLPOINT_HOSTS"`
	TrustedProxies   []netip.Prefix    `env:"CALLPOINT_TRUSTED_PROXIES, default=127.0.0.0/8,::1/128"`

	PollInterval time.Duration `env:"CALLPOINT_POLL_INTERVAL, default=1m"`
	PollOverlap  time.Duration `env:"CALLPOINT_POLL_OVERLAP, default=10m"`
	Start        startTime     `env:"CALLPOINT_START, default=720h"`

	Vendor         string   `env:"CALLPOINT_VENDOR, default=generic"`
	TaskFilter     string   `env:"CALLPOINT_TASK_FILTER"`
	BizibleIDField string   `env:"CALLPOINT_BIZIBLE_ID_FIELD"`
	CallTime       []string `env:"CALLPOINT_CALL_TIME"`
	CallSources    string   `env:"CALLPOINT_CALL_SOURCES"`
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

	Retention    time.Duration     `env:"CALLPOINT_RETENTION, default=2160h"`
	AlertWebhook salesforce.Secret `env:"CALLPOINT_ALERT_WEBHOOK" secret:"true"`
	AlertForm    string            `env:"CALLPOINT_ALERT_FORM, default=json"`
	AlertMail    []string          `env:"CALLPOINT_ALERT_MAIL"`

	TimeZone  zoneName `env:"CALLPOINT_TIME_ZONE"`
	LogLevel  string   `env:"CALLPOINT_LOG_LEVEL, default=info"`
	LogFormat string   `env:"CALLPOINT_LOG_FORMAT"`
}

// defaults fills in what depends on the surroundings.
func (c *Config) defaults(env map[string]string) {
	c.RuntimeDir, _, _ = strings.Cut(env["RUNTIME_DIRECTORY"], ":")
	c.StoreNamed = c.Store != "" || env["STATE_DIRECTORY"] != ""
	switch dir, _, _ := strings.Cut(env["STATE_DIRECTORY"], ":"); {
	case c.Store != "":
	case dir != "":
		c.Store = filepath.Join(dir, "callpoint.db")
	case exists(systemStore):
		c.Store = systemStore
	default:
		c.Store = "callpoint.db"
	}
	if c.Spool == "" {
		c.Spool = "spool"
		if dir, _, _ := strings.Cut(env["STATE_DIRECTORY"], ":"); dir != "" {
			c.Spool = filepath.Join(dir, "spool")
		} else if dir := filepath.Dir(systemStore); exists(dir) {
			c.Spool = filepath.Join(dir, "spool")
		}
	}
	c.maxSizeSet, c.freeFloorSet = env["CALLPOINT_STORE_MAX_SIZE"] != "", env["CALLPOINT_STORE_FREE_FLOOR"] != ""
	if c.Name == "" {
		c.Name = hostName()
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
			bad(d.name, "%s is too short; use at least %s", d.value, d.least)
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
		{"CALLPOINT_PERSONS", c.Persons, []string{engine.PersonsCreate, engine.PersonsReuse}},
		{"CALLPOINT_ROLE", c.Role, []string{roleAuto, roleCollector, roleLeader}},
		{"CALLPOINT_VENDOR", c.Vendor, vendorNames()},
		{"CALLPOINT_LOG_LEVEL", c.LogLevel, []string{"debug", "info", "warn", "error"}},
		{"CALLPOINT_LOG_FORMAT", c.LogFormat, []string{"text", "json"}},
	} {
		if e.name == "CALLPOINT_PERSONS" && e.value == "off" {
			bad(e.name, "off is not possible: Salesforce takes no touchpoint without its Bizible Person; use create, or reuse to link existing persons alone")
		} else if !slices.Contains(e.allowed, e.value) {
			bad(e.name, "%q is not valid; use one of %s%s", e.value, strings.Join(e.allowed, ", "), similar(e.value, e.allowed))
		}
	}
	c.validateAlerts(bad)
	c.validateNames(bad)
	if c.StoreMaxSize > 0 && c.StoreMaxSize < 16<<20 {
		bad("CALLPOINT_STORE_MAX_SIZE", "%d bytes are too few; use at least 16MiB, or 0 for no limit", c.StoreMaxSize)
	}
	c.validateShared(bad)
	if c.SpoolMax < 64<<10 {
		bad("CALLPOINT_SPOOL_MAX", "%d bytes are too few; use at least 64KiB", c.SpoolMax)
	}
	if c.APIBudget < 1 {
		bad("CALLPOINT_API_BUDGET", "%d API calls a day are too few; use at least 1", c.APIBudget)
	}
	if c.BatchSize < 25 || c.BatchSize > 200 {
		bad("CALLPOINT_BATCH_SIZE", "%d is not between 25 and 200", c.BatchSize)
	}
	if f := c.taskReason(); f != "" && !fieldName.MatchString(f) {
		bad("CALLPOINT_REASON_FIELD", "%q is not a valid field name", f)
	}
	if !c.listensOnLoopback() && c.Token.IsZero() {
		bad("CALLPOINT_TOKEN", "required because CALLPOINT_LISTEN=%s accepts connections from other machines; set a long random string", c.Listen)
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

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// salesforce is the client's part.
func (c *Config) salesforce() salesforce.Config {
	return salesforce.Config{
		Domain: c.Domain, ConsumerKey: c.ConsumerKey, ConsumerSecret: c.ConsumerSecret,
		Username: c.Username, Password: c.Password, SecurityToken: c.SecurityToken,
		PrivateKey: c.PrivateKey, AccessToken: c.AccessToken,
	}
}
