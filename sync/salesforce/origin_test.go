package salesforce

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestInstanceURLIsPinned(t *testing.T) {
	t.Parallel()
	for _, hostile := range []string{
		"", "https://evil.example", "http://127.0.0.1:1", "https://127.0.0.1", "http://user@HOST", "http://HOST/path",
		"http://HOST?x=1", "http://HOST#x", "http://HOST@evil.example", "https://HOST", "//evil.example",
		"https://evil.salesforce.com", "file:///etc/passwd", "http://169.254.169.254", "http://HOST.evil.example",
	} {
		s := newServer(t, answer(okQuery))
		instance := strings.ReplaceAll(hostile, "HOST", strings.TrimPrefix(s.URL, "http://"))
		s.token = func(w http.ResponseWriter, _ map[string]string) bool {
			json.NewEncoder(w).Encode(map[string]string{"access_token": "t", "instance_url": instance})
			return true
		}
		err := query(s.client(t))
		if e := mustError(t, err); e.Code != codeUntrusted || Classify(e) != StopCalls {
			t.Errorf("%s: %v", hostile, err)
		}
		if n := len(s.requests()); n != 0 {
			t.Errorf("%s: %d API calls", hostile, n)
		}
	}
}

func TestPinInstance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ domain, instance, want string }{
		{"https://acme.my.salesforce.com", "https://acme.my.salesforce.com", "https://acme.my.salesforce.com"},
		{"https://acme.my.salesforce.com", "https://ACME.my.salesforce.com/", "https://acme.my.salesforce.com"},
		{"https://acme.my.salesforce.com:443/", "https://acme.my.salesforce.com", "https://acme.my.salesforce.com"},
		{" https://Acme.my.salesforce.com.\n", "https://acme.my.salesforce.com:443", "https://acme.my.salesforce.com"},
		{"\ufeffhttps://acme.my.salesforce.com", "https://acme.my.salesforce.com./", "https://acme.my.salesforce.com"},
		{"https://login.salesforce.com", "https://na1.salesforce.com", "https://na1.salesforce.com"},
		{"https://acme.my.salesforce.com", "https://acme.cloudforce.com", "https://acme.cloudforce.com"},
		{"https://acme.my.salesforce.com", "http://acme.my.salesforce.com", ""},
		{"https://acme.my.salesforce.com", "https://acme.my.salesforce.com:8443", ""},
		{"https://acme.my.salesforce.com", "https://evilsalesforce.com", ""},
		{"https://acme.my.salesforce.com", "https://salesforce.com.evil.example", ""},
		{"https://acme.my.salesforce.com", "https://x@acme.my.salesforce.com", ""},
		{"https://api.example.com", "https://acme.my.salesforce.com", ""},
		{"https://api.example.com:8443", "https://api.example.com:8443", "https://api.example.com:8443"},
	} {
		domain, err := parseDomain(tt.domain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pinInstance(domain, tt.instance)
		if tt.want == "" && err == nil || tt.want != "" && (err != nil || got.String() != tt.want) {
			t.Errorf("pinInstance(%s, %s) = %v, %v, want %q", tt.domain, tt.instance, got, err, tt.want)
		}
	}
}

func TestAudience(t *testing.T) {
	t.Parallel()
	const login, test = "https://login.salesforce.com", "https://test.salesforce.com"
	for host, want := range map[string]string{
		"acme.my.salesforce.com":                login,
		"login.salesforce.com":                  login,
		"sandboxco.my.salesforce.com":           login, // the library says test
		"acme-dev-ed.develop.my.salesforce.com": login,
		"na35.salesforce.com":                   login,
		"test.salesforce.com":                   test,
		"acme--uat.sandbox.my.salesforce.com":   test,
		"acme--uat.my.salesforce.com":           test, // the library says login, here
		"nice-bear.scratch.my.salesforce.com":   test, // here
		"cs42.salesforce.com":                   test, // and here
		"acme.my.site.com":                      "https://acme.my.site.com",
	} {
		domain, err := parseDomain("https://" + host)
		if err != nil {
			t.Fatal(err)
		}
		if got := audience(domain); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
