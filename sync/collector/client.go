package collector

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// clientAddr is the visitor's address: the peer's, or where the peer is a trusted proxy,
// the last one in X-Forwarded-For that is none. Anybody can put addresses before that.
func clientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr, ok := parseAddr(r.RemoteAddr)
	if !ok {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1}) // a Unix socket: the peer is on this machine
	}
	if !contains(trusted, addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseAddr(strings.TrimSpace(hops[i]))
		if !ok {
			return addr // addresses before it are not trusted
		}
		if addr = hop; !contains(trusted, addr) {
			return addr
		}
	}
	return addr
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// clientLimits limits requests by address. It remembers two generations of addresses: when
// the younger is full it becomes the older, so memory stays bounded however many come.
type clientLimits struct {
	rate  rate.Limit
	burst int

	mu         sync.Mutex
	young, old map[netip.Addr]*rate.Limiter // guarded by mu
}

const maxClients = 8192 // of one generation

func newClientLimits(perSecond float64, burst int) *clientLimits {
	return &clientLimits{rate: rate.Limit(perSecond), burst: burst, young: map[netip.Addr]*rate.Limiter{}}
}

func (c *clientLimits) allow(addr netip.Addr, now time.Time) bool {
	if addr.Is6() { // whoever has one address of a /64 has them all
		p, _ := addr.Prefix(64)
		addr = p.Addr()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.young[addr]
	if !ok {
		if l, ok = c.old[addr]; !ok {
			l = rate.NewLimiter(c.rate, c.burst)
		}
		if len(c.young) >= maxClients {
			c.old, c.young = c.young, map[netip.Addr]*rate.Limiter{}
		}
		c.young[addr] = l
	}
	return l.AllowN(now, 1)
}
