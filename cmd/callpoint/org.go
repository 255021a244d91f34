package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"callpoint/sync/collector"
	"callpoint/sync/orgsim"

	"github.com/spf13/cobra"
)

func (p *program) orgCommand() *cobra.Command {
	var address string
	var faults []string
	c := &cobra.Command{
		Use:   "org",
		Short: "Run the simulated Salesforce org by itself, for trying configurations",
		Long: `org serves a simulated Salesforce org on loopback until interrupted. It prints the
variables with which callpoint logs in to it. Records are made and looked at through
/sim/, which is no part of Salesforce.`,
		Example: `  callpoint org --listen 127.0.0.1:8426
  curl -s -X POST 127.0.0.1:8426/sim/insert/Task -d '{"Subject":"Call","Type":"Call","TaskSubtype":"Call","CallType":"Inbound"}'
  curl -s 127.0.0.1:8426/sim/records/bizible2__Bizible_Touchpoint__c
  callpoint org --fault 'op=upsert,nth=3,drop=after'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serveOrg(cmd.Context(), address, faults)
		},
	}
	c.Flags().StringVar(&address, "listen", "127.0.0.1:8426", "loopback `ADDRESS` to listen on")
	c.Flags().StringArrayVar(&faults, "fault", nil, "make requests fail, by a `SCRIPT` such as op=query,nth=2,status=503; may be repeated")
	return c
}

func (p *program) serveOrg(ctx context.Context, address string, faults []string) error {
	org := orgsim.New(orgsim.Config{})
	for _, f := range faults {
		fault, err := orgsim.ParseFault(f)
		if err != nil {
			return usage(fmt.Errorf("--fault %s: %w", f, err))
		}
		org.Fault(fault)
	}
	loopback := Config{Listen: address}
	if !loopback.listensOnLoopback() {
		return usage(fmt.Errorf("--listen %s: the simulated org has no protection: loopback addresses only", address))
	}
	l, err := listen(ctx, address)
	if err != nil {
		return failed(err)
	}
	fmt.Fprintf(p.stdout, "SALESFORCE_DOMAIN=http://%s\nSALESFORCE_CONSUMER_KEY=%s\nSALESFORCE_CONSUMER_SECRET=%s\n",
		l.Addr(), orgsim.DefaultClientID, orgsim.DefaultClientSecret)
	srv := collector.NewServer(org, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return failed(err)
	case <-ctx.Done():
	}
	stop, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	if err := srv.Shutdown(stop); err != nil {
		err = srv.Close()
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			return failed(err)
		}
	}
	return nil
}
