package collector

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// Guard wraps every handler of the daemon. It refuses unknown Host headers (a page
// that rebinds its own name to our address must not reach us), cross-site requests that
// change something, and requests without the token where one is set. Browsers' own
// requests, the script and the health endpoints need no token.
func Guard(cfg Config, next http.Handler) http.Handler {
	hosts := map[string]bool{}
	for _, h := range cfg.Hosts {
		hosts[hostName(h)] = true
	}
	if len(cfg.Hosts) == 0 {
		hosts = map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	}
	// Digests have one length, so that comparing them reveals nothing about the token's.
	token := sha256.Sum256([]byte(cfg.Token))
	crossOrigin := http.NewCrossOriginProtection()

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !hosts[hostName(r.Host)] {
			http.Error(w, "this Host is not served here; add it to CALLPOINT_HOSTS", http.StatusMisdirectedRequest)
			return
		}
		if fromBrowser(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if err := crossOrigin.Check(r); err != nil {
			http.Error(w, "cross-site request refused", http.StatusForbidden)
			return
		}
		if cfg.Token != "" && !isHealth(r.URL.Path) {
			given := sha256.Sum256([]byte(credential(r)))
			if subtle.ConstantTimeCompare(given[:], token[:]) != 1 {
				w.Header().Add("WWW-Authenticate", `Bearer realm="callpoint"`)
				w.Header().Add("WWW-Authenticate", `Basic realm="callpoint", charset="UTF-8"`)
				http.Error(w, "a token is needed: Authorization: Bearer CALLPOINT_TOKEN, or as the password of HTTP Basic", http.StatusUnauthorized)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// fromBrowser names exact paths: a prefix would let /m/../v1/parked through.
func fromBrowser(path string) bool {
	switch path {
	case "/m/ipv", "/m/frm", "/m/u", "/callpoint.js":
		return true
	}
	return false
}

func isHealth(path string) bool {
	switch path {
	case "/livez", "/readyz", "/healthz":
		return true
	}
	return false
}

// hostName is the name in a Host header or a listen address, without the port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func credential(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
