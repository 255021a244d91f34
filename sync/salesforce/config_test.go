package salesforce

import (
	"strings"
	"testing"
	"time"
)

func TestConfigProblems(t *testing.T) {
	t.Parallel()
	s := NewSecret
	const domain = "https://acme.my.salesforce.com"
	for name, tt := range map[string]struct {
		config Config
		want   []string // parts of the message; none: accepted
	}{
		"client credentials":    {Config{Domain: domain, ConsumerKey: "k", ConsumerSecret: s("canary")}, nil},
		"JWT":                   {Config{Domain: domain, ConsumerKey: "k", Username: "u", PrivateKey: s(testPEM())}, nil},
		"password":              {Config{Domain: domain, ConsumerKey: "k", ConsumerSecret: s("canary"), Username: "u", Password: s("canary")}, nil},
		"access token":          {Config{Domain: domain, AccessToken: s("canary")}, nil},
		"loopback":              {Config{Domain: "http://127.0.0.1:8425/", AccessToken: s("canary")}, nil},
		"loopback v6":           {Config{Domain: "http://[::1]:8425", AccessToken: s("canary")}, nil},
		"nothing":               {Config{}, []string{"SALESFORCE_DOMAIN is not set", "no login is configured", "SALESFORCE_CONSUMER_KEY", "SALESFORCE_ACCESS_TOKEN"}},
		"http":                  {Config{Domain: "http://acme.my.salesforce.com", AccessToken: s("canary")}, []string{"SALESFORCE_DOMAIN", "https://acme.my.salesforce.com"}},
		"no scheme":             {Config{Domain: "acme.my.salesforce.com", AccessToken: s("canary")}, []string{"SALESFORCE_DOMAIN", "not an origin"}},
		"ftp":                   {Config{Domain: "ftp://acme.my.salesforce.com", AccessToken: s("canary")}, []string{"not an origin"}},
		"path":                  {Config{Domain: domain + "/services", AccessToken: s("canary")}, []string{"only scheme and host"}},
		"userinfo":              {Config{Domain: "https://u:canary@acme.my.salesforce.com", AccessToken: s("canary")}, []string{"only scheme and host"}},
		"user interface":        {Config{Domain: "https://acme.lightning.force.com", AccessToken: s("canary")}, []string{"https://acme.my.salesforce.com"}},
		"shared login":          {Config{Domain: "https://login.salesforce.com", ConsumerKey: "k", ConsumerSecret: s("canary")}, []string{"My Domain"}},
		"shared login with JWT": {Config{Domain: "https://login.salesforce.com", ConsumerKey: "k", Username: "u", PrivateKey: s(testPEM())}, nil},
		"key alone":             {Config{Domain: domain, ConsumerKey: "k"}, []string{"client credentials flow also needs SALESFORCE_CONSUMER_SECRET"}},
		"secret alone":          {Config{Domain: domain, ConsumerSecret: s("canary")}, []string{"also needs SALESFORCE_CONSUMER_KEY"}},
		"user alone":            {Config{Domain: domain, ConsumerKey: "k", ConsumerSecret: s("canary"), Username: "u"}, []string{"SALESFORCE_USERNAME needs SALESFORCE_PRIVATE_KEY_FILE"}},
		"password without user": {Config{Domain: domain, ConsumerKey: "k", ConsumerSecret: s("canary"), Password: s("canary")}, []string{"password flow also needs SALESFORCE_USERNAME"}},
		"token of a password":   {Config{Domain: domain, SecurityToken: s("canary")}, []string{"SALESFORCE_CONSUMER_KEY and SALESFORCE_CONSUMER_SECRET and SALESFORCE_USERNAME and SALESFORCE_PASSWORD"}},
		"JWT and secret":        {Config{Domain: domain, ConsumerKey: "k", ConsumerSecret: s("canary"), Username: "u", PrivateKey: s(testPEM())}, []string{"more than one login flow", "unset SALESFORCE_CONSUMER_SECRET"}},
		"JWT and password":      {Config{Domain: domain, ConsumerKey: "k", Username: "u", Password: s("canary"), PrivateKey: s(testPEM())}, []string{"unset SALESFORCE_PASSWORD"}},
		"token and all else":    {Config{Domain: domain, ConsumerKey: "k", ConsumerSecret: s("canary"), AccessToken: s("canary")}, []string{"access token flow", "unset SALESFORCE_CONSUMER_KEY and SALESFORCE_CONSUMER_SECRET"}},
		"no PEM":                {Config{Domain: domain, ConsumerKey: "k", Username: "u", PrivateKey: s("canary")}, []string{"SALESFORCE_PRIVATE_KEY: not an RSA private key in PEM"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := New(tt.config)
			if len(tt.want) == 0 {
				if err != nil || c == nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			mustContain(t, err.Error(), tt.want...)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("a secret in %v", err)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{Domain: "https://ACME.my.salesforce.com/", AccessToken: NewSecret("x")}).cfg
	if c.RequestTimeout != 150*time.Second || c.Retries != 3 || c.RetryWait != time.Second || c.LoginPause != 15*time.Minute || c.UserAgent != "callpoint" {
		t.Errorf("defaults %+v", c)
	}
	if c.domain.String() != "https://acme.my.salesforce.com" {
		t.Errorf("domain %s", c.domain)
	}
	if none := newClient(t, Config{Domain: "https://acme.my.salesforce.com", AccessToken: NewSecret("x"), Retries: -1}).cfg; none.Retries != 0 {
		t.Errorf("%d retries", none.Retries)
	}
}
