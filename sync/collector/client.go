package collector

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"callpoint/mapping"

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
	daily int64 // bytes of events from one address a day; 0: no limit

	mu         sync.Mutex
	young, old map[netip.Addr]*client // guarded by mu
}

// A client is what is known of one address.
type client struct {
	*rate.Limiter
	day   int64 // since 1970, UTC
	bytes int64 // sent on that day
}

const maxClients = 8192 // of one generation

func newClientLimits(perSecond float64, burst int, daily int64) *clientLimits {
	return &clientLimits{rate: rate.Limit(perSecond), burst: burst, daily: daily, young: map[netip.Addr]*client{}}
}

// network returns what limits apply to: an IPv4 address, or the /64 of an IPv6 address,
// because whoever has one address of it has them all.
func network(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		p, _ := addr.Prefix(64)
		return p.Addr()
	}
	return addr
}

// of returns the client at an address. The caller holds mu.
func (c *clientLimits) of(addr netip.Addr) *client {
	addr = network(addr)
	l, ok := c.young[addr]
	if !ok {
		if l, ok = c.old[addr]; !ok {
			l = &client{Limiter: rate.NewLimiter(c.rate, c.burst)}
		}
		if len(c.young) >= maxClients {
			c.old, c.young = c.young, map[netip.Addr]*client{}
		}
		c.young[addr] = l
	}
	return l
}

// allow reports whether an address may send one more request.
func (c *clientLimits) allow(addr netip.Addr, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(addr).AllowN(now, 1)
}

// spend reports whether an address may store n more bytes today, and counts them.
func (c *clientLimits) spend(addr netip.Addr, now time.Time, n int64) bool {
	if c.daily == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of(addr)
	if day := now.Unix() / 86400; day != l.day {
		l.day, l.bytes = day, 0
	}
	if l.bytes+n > c.daily {
		return false
	}
	l.bytes += n
	return true
}

// storedSize returns about how many bytes of the store an event takes.
func storedSize(e *mapping.Event) int64 {
	return int64(200 + len(e.Visitor) + len(e.URL) + len(e.Referrer) + len(e.Title) + len(e.UserAgent) +
		len(e.Geo.City) + len(e.Geo.Region) + len(e.Geo.Country))
}
