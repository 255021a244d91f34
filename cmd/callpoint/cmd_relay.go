package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"callpoint/sync/collector"
	"callpoint/sync/relay"
	"callpoint/sync/spool"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

func (p *program) relayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "relay",
		Short: "Collect page views and forward them to the main callpoint",
		Long: `relay runs the collector alone: /callpoint.js, /m/ipv, /m/frm, /m/u, /v1/events and
/v1/sessions. It needs no store and no Salesforce login. It forwards what it receives to
the callpoint at CALLPOINT_FORWARD, with CALLPOINT_FORWARD_TOKEN as its token.

While the main callpoint is away, events are kept in CALLPOINT_SPOOL, at most
CALLPOINT_SPOOL_MAX bytes, and forwarded when it is back. An acknowledged event is at the
main callpoint, or on this machine's disk until the main callpoint has it.`,
		Example: `  CALLPOINT_FORWARD=https://callpoint.internal.example callpoint relay`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.relay(cmd.Context()) },
	}
}

// relay collects and forwards until ctx ends.
func (p *program) relay(ctx context.Context) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	target, err := c.forwardURL()
	if err != nil {
		return misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	log := p.logger(c)
	systemd := newSupervisor()
	f := relay.NewForwarder(relay.ForwardConfig{URL: target, Token: c.ForwardToken.Reveal(), Log: log})
	defer f.Close()
	s, err := spool.Open(spool.Config{
		Dir: c.Spool, Max: int64(c.SpoolMax), Sink: f, Away: relay.IsAway, RetryMax: 5 * time.Second, Log: log,
	})
	if err != nil {
		return failed(err)
	}
	cc := collector.Config{
		Store: s, Retention: c.Retention, Token: c.Token.Reveal(),
		Hosts: c.hosts(), TrustedProxies: c.TrustedProxies, DailyBytes: c.dailyBytes(int64(c.SpoolMax)), Log: log,
	}
	if c.GeoIP != "" {
		geo, err := openGeoIP(c.GeoIP)
		if err != nil {
			return errors.Join(misconfigured(err), s.Close())
		}
		defer geo.close()
		cc.Geo = geo.lookup
	}
	col, err := collector.New(cc)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	watch := relay.NewServer(s, f, time.Now)
	mux := http.NewServeMux()
	col.Routes(mux)
	watch.Routes(mux)
	l, err := listen(ctx, c.Listen)
	if err != nil {
		return errors.Join(failed(err), s.Close())
	}
	log.Info("callpoint relay is running", "listen", l.Addr().String(), "forward", target.Host)
	err = serveRelay(ctx, l, collector.NewServer(collector.Guard(cc, mux), log), s, watch, systemd,
		func(ctx context.Context) { alertRelay(ctx, c, log, watch) })
	return errors.Join(err, s.Close())
}

// serveRelay serves until ctx ends, and stops delivery after the last request.
func serveRelay(ctx context.Context, l net.Listener, srv collector.Server, s *spool.Spool, watch *relay.Server, systemd *supervisor, alert func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	var all sync.WaitGroup
	all.Go(func() { s.Run(ctx) })
	all.Go(func() { alert(ctx) })
	all.Go(func() { systemd.watchdog(ctx, func() error { return nil }) })
	all.Go(func() { systemd.follow(ctx, func() string { return watch.Health().Headline }, nil) })
	systemd.ready()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	systemd.send(daemon.SdNotifyStopping)
	cancel()
	stop, done := context.WithTimeout(context.Background(), drain)
	defer done()
	srv.Stop(stop)
	all.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return failed(err)
	}
	return nil
}

// forwardURL checks CALLPOINT_FORWARD.
func (c *Config) forwardURL() (*url.URL, error) {
	if c.Forward == "" {
		return nil, errors.New("CALLPOINT_FORWARD: required by relay; set it to the address of the main callpoint, for example https://callpoint.internal.example")
	}
	u, err := url.Parse(c.Forward)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("CALLPOINT_FORWARD: %q is not an address such as https://callpoint.internal.example", c.Forward)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("CALLPOINT_FORWARD: user, query and fragment are not used; the token goes into CALLPOINT_FORWARD_TOKEN")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return nil, fmt.Errorf("CALLPOINT_FORWARD: %s would send visitors' data unencrypted; use https, or a loopback address", u.Redacted())
	}
	return u, nil
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
