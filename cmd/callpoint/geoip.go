package main

import (
	"fmt"
	"net/netip"

	"callpoint/mapping"

	"github.com/oschwald/maxminddb-golang/v2"
)

// geoIP reads a MaxMind City or Country database. The library maps the file; look-ups
// are safe from many goroutines.
type geoIP struct{ db *maxminddb.Reader }

func openGeoIP(path string) (*geoIP, error) {
	db, err := maxminddb.Open(path)
	if err != nil {
		return nil, fmt.Errorf("CALLPOINT_GEOIP: %w", err)
	}
	return &geoIP{db}, nil
}

func (g *geoIP) close() error { return g.db.Close() }

// lookup returns the place of an address. Parts that the database lacks are empty.
func (g *geoIP) lookup(ip netip.Addr) mapping.Geo {
	var r struct {
		City struct {
			Names map[string]string `maxminddb:"names"`
		} `maxminddb:"city"`
		Subdivisions []struct {
			Names map[string]string `maxminddb:"names"`
		} `maxminddb:"subdivisions"`
		Country struct {
			Names map[string]string `maxminddb:"names"`
		} `maxminddb:"country"`
	}
	if g.db.Lookup(ip.Unmap()).Decode(&r) != nil {
		return mapping.Geo{}
	}
	geo := mapping.Geo{City: r.City.Names["en"], Country: r.Country.Names["en"]}
	if len(r.Subdivisions) > 0 {
		geo.Region = r.Subdivisions[0].Names["en"]
	}
	return geo
}
