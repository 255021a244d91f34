package salesforce

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// salesforceSuffixes are the domains under which an instance_url may send us
// when the configured domain is one of them too (login.salesforce.com leads
// to another host). Any other domain is trusted for itself alone.
var salesforceSuffixes = []string{".salesforce.com", ".force.com", ".cloudforce.com", ".salesforce.mil", ".sfcrmproducts.cn"}

// nextPattern is what a nextRecordsUrl may look like. It is joined to the
// pinned origin; "//evil.example/…" or "@evil.example" never reach a URL.
var nextPattern = regexp.MustCompile(`^/services/data/v\d+\.\d/query(All)?/[\w-]+$`)

func parseDomain(raw string) (*url.URL, error) {
	const name = "SALESFORCE_DOMAIN"
	if raw == "" {
		return nil, errors.New(name + " is not set: give the org's My Domain, such as https://example.my.salesforce.com")
	}
	u, err := url.Parse(strings.Trim(raw, " \t\r\n\ufeff"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		// The value is not shown: somebody may have pasted a secret here.
		return nil, errors.New(name + ": not an origin such as https://example.my.salesforce.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New(name + ": only scheme and host belong here, such as https://example.my.salesforce.com")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("%s: plain http is for loopback addresses alone, use https://%s", name, u.Host)
	}
	if host, ok := strings.CutSuffix(u.Hostname(), ".lightning.force.com"); ok {
		return nil, fmt.Errorf("%s: %s is the address of the user interface, the API is at https://%s.my.salesforce.com", name, u.Host, host)
	}
	if host, ok := strings.CutSuffix(u.Hostname(), ".my.salesforce-setup.com"); ok {
		return nil, fmt.Errorf("%s: %s is the address of Setup, the API is at https://%s.my.salesforce.com", name, u.Host, host)
	}
	return &url.URL{Scheme: u.Scheme, Host: plainHost(u)}, nil
}

// plainHost is the host of a URL in lower case, without the port that its scheme implies and
// without a dot at the end.
func plainHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ".")
}

// pinInstance checks the instance_url of a token answer against the
// configured domain and returns the origin that all API calls go to.
func pinInstance(domain *url.URL, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("instance_url is no URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("instance_url is more than scheme and host")
	}
	host := plainHost(u)
	if u.Scheme == domain.Scheme && host == domain.Host {
		return domain, nil
	}
	if u.Scheme != "https" || strings.Contains(host, ":") || !isSalesforce(domain.Hostname()) || !isSalesforce(host) {
		return nil, fmt.Errorf("instance_url %s is not trusted for the domain %s", u.Redacted(), domain)
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}

func isSalesforce(host string) bool {
	host = strings.ToLower(host)
	return slices.ContainsFunc(salesforceSuffixes, func(suffix string) bool { return strings.HasSuffix(host, suffix) })
}

// isSharedLogin reports the hosts that serve every org.
func isSharedLogin(host string) bool {
	return host == "login.salesforce.com" || host == "test.salesforce.com"
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// oldSandbox is the instance host of sandboxes before enhanced domains.
var oldSandbox = regexp.MustCompile(`^cs\d+\.(my\.)?salesforce\.com$`)

// audience names the login service whose users an org's are: sandboxes and
// scratch orgs belong to test, all other orgs to login.
func audience(domain *url.URL) string {
	host := strings.ToLower(domain.Hostname())
	first, _, _ := strings.Cut(host, ".")
	switch {
	case host == "test.salesforce.com",
		strings.HasSuffix(host, ".sandbox.my.salesforce.com"),
		strings.HasSuffix(host, ".scratch.my.salesforce.com"),
		isSalesforce(host) && strings.Contains(first, "--"), // acme--uat.my.salesforce.com
		oldSandbox.MatchString(host):
		return "https://test.salesforce.com"
	case strings.HasSuffix(host, ".my.site.com"):
		return domain.String() // users of an Experience Cloud site
	}
	return "https://login.salesforce.com"
}
