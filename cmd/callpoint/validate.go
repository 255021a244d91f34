package main

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"

	"callpoint/sync/salesforce"
)

// hostPattern is a name of a host as browsers send it: ASCII, without scheme and path.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)

// hostProblem returns what is wrong with a host name, and how it is written; empty for one
// that can match. port reports whether a port may follow.
func hostProblem(host string, port bool) string {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil && port {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return ""
	}
	switch {
	case strings.TrimSpace(host) == "":
		return "an empty name; remove the comma"
	case strings.Contains(host, "://"):
		return "has a scheme; write the name alone, such as www.example.com"
	case strings.ContainsAny(host, "/?#@"):
		return "is more than a name; write www.example.com without path and user"
	case strings.Contains(host, "*"):
		return "has a wildcard; write each name, such as www.example.com"
	case strings.IndexFunc(host, func(r rune) bool { return r > 127 }) >= 0:
		return "is not ASCII; write it as browsers send it, in Punycode (xn--…)"
	case !hostPattern.MatchString(name):
		return "is not a host name such as www.example.com"
	}
	return ""
}

// validateNames finds values that would be accepted and never match, or never work.
func (c *Config) validateNames(bad func(name, format string, args ...any)) {
	for _, list := range []struct {
		name  string
		hosts []string
		port  bool
	}{
		{"CALLPOINT_HOSTS", c.Hosts, true},
		{"CALLPOINT_OWN_DOMAINS", c.OwnDomains, false},
		{"CALLPOINT_IGNORED_REFERRERS", c.IgnoredReferrers, false},
	} {
		for _, host := range list.hosts {
			if problem := hostProblem(host, list.port); problem != "" {
				bad(list.name, "%q %s", host, problem)
			}
		}
	}
	for _, token := range []struct {
		name  string
		value salesforce.Secret
	}{{"CALLPOINT_TOKEN", c.Token}, {"CALLPOINT_FORWARD_TOKEN", c.ForwardToken}} {
		// Its value is a secret, also in an error.
		if strings.IndexFunc(token.value.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
			bad(token.name, "has a blank, a control character or one that is not ASCII, which no Authorization header can carry; use letters and digits, for example of openssl rand -hex 32")
		}
	}
	for _, field := range []struct{ name, value string }{
		{"CALLPOINT_BIZIBLE_ID_FIELD", c.BizibleIDField},
		{"CALLPOINT_TOUCHPOINT_OBJECT", c.TouchpointObject},
		{"CALLPOINT_EXTERNAL_ID_FIELD", c.ExternalIDField},
	} {
		if field.value != "" && !fieldName.MatchString(field.value) {
			bad(field.name, "%q is not an API name such as bizible2__BizibleId__c", field.value)
		}
	}
	if problem := listenProblem(c.Listen); problem != "" {
		bad("CALLPOINT_LISTEN", "%q %s", c.Listen, problem)
	}
	if fi, err := os.Stat(c.Store); !strings.Contains(c.Store, "://") && (strings.HasSuffix(c.Store, "/") || err == nil && fi.IsDir()) {
		bad("CALLPOINT_STORE", "%q is a directory; name a file in it, such as callpoint.db", c.Store)
	}
	if c.AddressShare <= 0 {
		bad("CALLPOINT_ADDRESS_SHARE", "0%% would refuse every page view; use for example 1%%, or 100%% for no limit")
	}
}

// listenProblem returns what is wrong with an address to listen on.
func listenProblem(address string) string {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" || strings.HasSuffix(path, "/") {
			return "names no socket; use for example unix:/run/callpoint/callpoint.sock"
		}
		return ""
	}
	const example = "; use for example 127.0.0.1:8425 or unix:/run/callpoint/callpoint.sock"
	if strings.Contains(address, "://") {
		return "has a scheme" + example
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "is not HOST:PORT" + example
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "has no port from 0 to 65535" + example
	}
	if host != "" && hostProblem(host, false) != "" {
		return "has no valid host" + example
	}
	return ""
}
