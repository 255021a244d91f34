package salesforce

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Config holds the org, the login and the time limits. Exactly one
// login flow must be configured:
//
//	client credentials  ConsumerKey, ConsumerSecret
//	JWT bearer          ConsumerKey, Username, PrivateKey
//	password            ConsumerKey, ConsumerSecret, Username, Password, SecurityToken
//	access token        AccessToken
type Config struct {
	Domain         string // https://example.my.salesforce.com; plain http for loopback alone
	ConsumerKey    string
	ConsumerSecret Secret
	Username       string
	Password       Secret
	SecurityToken  Secret // empty where the org trusts this address
	PrivateKey     Secret // PEM of an RSA key, not its path
	AccessToken    Secret // cannot be renewed when it expires
	Audience       string // of the JWT; "" derives it from Domain

	UserAgent      string        // default callpoint
	RequestTimeout time.Duration // of one attempt, default 150s: Salesforce itself ends a query after 120s
	LoginTimeout   time.Duration // of one attempt at the token endpoint, default 1m; at most RequestTimeout
	Retries        int           // after the first attempt, default 3; negative for none
	RetryWait      time.Duration // before the first retry, doubling with jitter, default 1s
	RetryWaitMax   time.Duration // caps that, and Retry-After, default 30s
	LoginRetryWait time.Duration // RetryWait of the token endpoint, default 5s
	LoginPause     time.Duration // without any login after a refused one, doubling to 16 times, default 15m
	Pauses         LoginPauses   // keeps that pause over the process; default: nothing does

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: none

	// OnCall is called after every HTTP request. It must not block.
	OnCall func(CallInfo)
	// AllowCall is asked before every API call, retries included, and before
	// no login. Its error ends the call and is returned as it is.
	AllowCall func(op string) error
}

// CallInfo describes one HTTP request.
type CallInfo struct {
	Op       string // login, query, query_more, query_many, upsert, update, delete, describe, limits, organization
	Status   int    // 0: no answer
	Code     string // Salesforce's error code, or ""
	Duration time.Duration
	Counted  bool      // it was sent and counts against the org's API limit; logins do not
	Usage    Usage     // as last heard from the org
	Date     time.Time // of an answer with a status below 400; zero: there was none
}

type flow string

const (
	flowClientCredentials flow = "client credentials"
	flowJWT               flow = "JWT bearer"
	flowPassword          flow = "password"
	flowAccessToken       flow = "access token"
)

// settings is a Config that has been checked, with its defaults filled in.
type settings struct {
	Config
	flow   flow
	domain *url.URL
	key    *rsa.PrivateKey

	maxBody int64 // tests make it small
}

func (c Config) validate() (settings, error) {
	s := settings{Config: c, maxBody: maxBody}
	var problems []error
	var err error
	if s.domain, err = parseDomain(c.Domain); err != nil {
		problems = append(problems, err)
	}
	if s.flow, err = c.chooseFlow(); err != nil {
		problems = append(problems, err)
	}
	if s.flow == flowClientCredentials && s.domain != nil && isSharedLogin(s.domain.Hostname()) {
		problems = append(problems, fmt.Errorf("SALESFORCE_DOMAIN: the client credentials flow needs the org's own My Domain, not %s", s.domain.Host))
	}
	if s.flow == flowJWT {
		// The parser's error names the key's kind, never its content.
		if s.key, err = jwt.ParseRSAPrivateKeyFromPEM([]byte(c.PrivateKey.Reveal())); err != nil {
			problems = append(problems, fmt.Errorf("SALESFORCE_PRIVATE_KEY: not an RSA private key in PEM: %w", err))
		}
	}
	s.setDefaults()
	return s, errors.Join(problems...)
}

// chooseFlow names the one flow that is configured, or what is missing or too much.
func (c Config) chooseFlow() (flow, error) {
	set := map[string]bool{
		"SALESFORCE_CONSUMER_KEY":    c.ConsumerKey != "",
		"SALESFORCE_CONSUMER_SECRET": !c.ConsumerSecret.IsZero(),
		"SALESFORCE_USERNAME":        c.Username != "",
		"SALESFORCE_PASSWORD":        !c.Password.IsZero(),
		"SALESFORCE_SECURITY_TOKEN":  !c.SecurityToken.IsZero(),
		"SALESFORCE_PRIVATE_KEY":     !c.PrivateKey.IsZero(),
		"SALESFORCE_ACCESS_TOKEN":    !c.AccessToken.IsZero(),
	}
	order := []string{
		"SALESFORCE_CONSUMER_KEY", "SALESFORCE_CONSUMER_SECRET", "SALESFORCE_USERNAME", "SALESFORCE_PASSWORD",
		"SALESFORCE_SECURITY_TOKEN", "SALESFORCE_PRIVATE_KEY", "SALESFORCE_ACCESS_TOKEN",
	}
	check := func(f flow, optional string, needed ...string) (flow, error) {
		var missing, excess []string
		for _, name := range order {
			wanted := false
			for _, n := range needed {
				wanted = wanted || n == name
			}
			if wanted && !set[name] {
				missing = append(missing, name)
			}
			if !wanted && set[name] && name != optional {
				excess = append(excess, name)
			}
		}
		if len(missing) > 0 {
			return "", fmt.Errorf("the %s flow also needs %s", f, strings.Join(missing, " and "))
		}
		if len(excess) > 0 {
			return "", fmt.Errorf("more than one login flow: for the %s flow (%s) unset %s",
				f, strings.Join(needed, ", "), strings.Join(excess, " and "))
		}
		return f, nil
	}
	switch {
	case set["SALESFORCE_ACCESS_TOKEN"]:
		return check(flowAccessToken, "", "SALESFORCE_ACCESS_TOKEN")
	case set["SALESFORCE_PRIVATE_KEY"]:
		return check(flowJWT, "", "SALESFORCE_CONSUMER_KEY", "SALESFORCE_USERNAME", "SALESFORCE_PRIVATE_KEY")
	case set["SALESFORCE_PASSWORD"] || set["SALESFORCE_SECURITY_TOKEN"]:
		return check(flowPassword, "SALESFORCE_SECURITY_TOKEN",
			"SALESFORCE_CONSUMER_KEY", "SALESFORCE_CONSUMER_SECRET", "SALESFORCE_USERNAME", "SALESFORCE_PASSWORD")
	case set["SALESFORCE_USERNAME"]:
		return "", errors.New("SALESFORCE_USERNAME needs SALESFORCE_PRIVATE_KEY_FILE (JWT bearer flow) or SALESFORCE_PASSWORD (password flow); the client credentials flow goes without it")
	case set["SALESFORCE_CONSUMER_KEY"] || set["SALESFORCE_CONSUMER_SECRET"]:
		return check(flowClientCredentials, "", "SALESFORCE_CONSUMER_KEY", "SALESFORCE_CONSUMER_SECRET")
	}
	return "", errors.New("no login is configured: set SALESFORCE_CONSUMER_KEY with SALESFORCE_CONSUMER_SECRET (client credentials), or with SALESFORCE_USERNAME and SALESFORCE_PRIVATE_KEY_FILE (JWT bearer), or SALESFORCE_ACCESS_TOKEN")
}

func (s *settings) setDefaults() {
	orDuration := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	orDuration(&s.RequestTimeout, 150*time.Second)
	orDuration(&s.LoginTimeout, time.Minute)
	orDuration(&s.RetryWait, time.Second)
	orDuration(&s.RetryWaitMax, 30*time.Second)
	orDuration(&s.LoginRetryWait, 5*time.Second)
	orDuration(&s.LoginPause, 15*time.Minute)
	switch {
	case s.Retries == 0:
		s.Retries = 3
	case s.Retries < 0:
		s.Retries = 0
	}
	if s.UserAgent == "" {
		s.UserAgent = "callpoint"
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.OnCall == nil {
		s.OnCall = func(CallInfo) {}
	}
	if s.AllowCall == nil {
		s.AllowCall = func(string) error { return nil }
	}
}
