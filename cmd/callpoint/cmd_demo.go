package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"callpoint/store"
	"callpoint/sync/collector"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"

	"github.com/spf13/cobra"
)

func (p *program) demoCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work with a simulated org, web sessions and calls",
		Long: `demo starts a simulated Salesforce org and callpoint itself, both on loopback with
a store in a temporary folder. It sends page views to the collector over HTTP, creates
call Tasks in the org, syncs through the REST API, and prints each call with its
session, or the reason why it has none, and the records in Salesforce.`,
		Example: "  callpoint demo\n  callpoint demo --serve     keep it running, to look around",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.demo(cmd.Context(), keep); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&keep, "serve", false, "keep the org and callpoint running until interrupted")
	return c
}

// A demonstration is the org and the daemon on loopback.
type demonstration struct {
	out  io.Writer
	org  *orgsim.Org
	base string // the daemon's URL
	now  time.Time
}

func (p *program) demo(ctx context.Context, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "callpoint-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	org := orgsim.New(orgsim.Config{})
	orgURL, stopOrg, err := serveLoopback(org)
	if err != nil {
		return err
	}
	defer stopOrg()
	c, err := loadConfig([]string{
		"SALESFORCE_DOMAIN=" + orgURL,
		"SALESFORCE_CONSUMER_KEY=" + orgsim.DefaultClientID,
		"SALESFORCE_CONSUMER_SECRET=" + orgsim.DefaultClientSecret,
		"CALLPOINT_STORE=" + filepath.Join(dir, "callpoint.db"),
		"CALLPOINT_LISTEN=127.0.0.1:0",
		"CALLPOINT_LOG_LEVEL=warn",
		"CALLPOINT_TIME_ZONE=UTC",
	}, "")
	if err != nil {
		return err
	}
	a, err := p.open(c, slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), false)
	if err != nil {
		return err
	}
	l, err := listen(ctx, c.Listen)
	if err != nil {
		return errors.Join(err, a.close())
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- a.serve(serving, l, newSupervisor()) }()
	d := &demonstration{out: p.stdout, org: org, base: "http://" + l.Addr().String(), now: time.Now().UTC().Truncate(time.Second)}
	err = d.run(ctx)
	if err == nil && keep {
		fmt.Fprintf(d.out, "\ncallpoint listens at %s, the simulated org at %s. Ctrl-C ends both.\n", d.base, orgURL)
		fmt.Fprintf(d.out, "Open the first in a browser, or ask it from another terminal:\n  export CALLPOINT_LISTEN=%s\n  callpoint status\n  callpoint calls\n  callpoint report\n",
			l.Addr())
		<-ctx.Done()
	}
	stop()
	return errors.Join(err, <-served, a.close())
}

// serveLoopback serves h on a free port of this machine.
func serveLoopback(h http.Handler) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := collector.NewServer(h, slog.New(slog.DiscardHandler))
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	return "http://" + l.Addr().String(), func() { srv.Close() }, nil
}

func (d *demonstration) run(ctx context.Context) error {
	// The daemon's own first cycle: an org without calls. What follows is then all of the next one's.
	if err := d.post(ctx, "/v1/sync", nil, nil); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "Page views arrive at the collector, calls in Salesforce:")
	events := demoEvents(d.now)
	if err := d.post(ctx, "/v1/events", events, nil); err != nil {
		return err
	}
	calls, err := d.insertCalls(demoCalls(d.now))
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  %d page views and forms of %d visitors, %d calls\n\n", len(events), countVisitors(events), len(calls))

	var first, second engine.Summary
	if err := d.post(ctx, "/v1/sync", nil, &first); err != nil {
		return err
	}
	if err := d.table(ctx, calls); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%s", fill("This sync: "+first.String(), "", demoWidth))
	if err := d.post(ctx, "/v1/sync", nil, &second); err != nil {
		return err
	}
	fmt.Fprint(d.out, fill("The next: "+second.String(), "", demoWidth))
	written := d.org.Records("bizible2__Bizible_Touchpoint__c")
	fmt.Fprintf(d.out, "\nSalesforce now has %d Bizible Touchpoints for %d people. %s's in full:\n",
		len(written), len(d.org.Records("bizible2__Bizible_Person__c")), calls[0].who)
	return d.record(calls[0].id)
}

// demoWidth is the width of the narrowest terminal that the demo is made for.
const demoWidth = 80

// table prints each call with its reason, type and channel, and then the explanations.
func (d *demonstration) table(ctx context.Context, calls []insertedCall) error {
	byKey := map[any]map[string]any{}
	for _, r := range d.org.Records("bizible2__Bizible_Touchpoint__c") {
		byKey[r["bizible2__UniqueId__c"]] = r
	}
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CALL (UTC)\tREASON\tTYPE\tCHANNEL")
	var why strings.Builder
	for _, c := range calls {
		var v monitor.CallView
		if err := d.get(ctx, "/v1/calls/"+c.id, &v); err != nil {
			return err
		}
		row := []string{fmt.Sprintf("%s %s", v.CallTime.Format("15:04"), c.who), string(v.Reason), "-", "no record"}
		text := c.who + ": " + v.Detail
		if v.Session != nil {
			text += " It began on " + landing(v.Session.LandingPage) + "."
		}
		if v.State == store.NoPerson {
			row[3] = "no person"
		}
		if r := byKey["callpoint_"+c.id]; r != nil {
			row[2], row[3] = field(r, "Touchpoint_Type"), field(r, "Marketing_Channel_Path")
			text += fmt.Sprintf(" Record %v, source %s.", r["Id"], field(r, "Touchpoint_Source"))
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
		why.WriteString("  " + strings.TrimLeft(fill(text, "    ", demoWidth), " "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(d.out, "\nWhy:\n%s", why.String())
	return err
}

// record prints one touchpoint of the org.
func (d *demonstration) record(taskID string) error {
	for _, r := range d.org.Records("bizible2__Bizible_Touchpoint__c") {
		if r["bizible2__UniqueId__c"] != "callpoint_"+taskID {
			continue
		}
		w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
		for _, name := range sortedKeys(r) {
			if strings.HasPrefix(name, "bizible2__") && r[name] != nil {
				fmt.Fprintf(w, "  %s\t%v\n", strings.TrimSuffix(strings.TrimPrefix(name, "bizible2__"), "__c"), r[name])
			}
		}
		return w.Flush()
	}
	return fmt.Errorf("the org has no touchpoint of task %s", taskID)
}

func field(r map[string]any, name string) string {
	if v, ok := r["bizible2__"+name+"__c"].(string); ok {
		return v
	}
	return "-"
}

// landing is a page without scheme and query, short enough for a table.
func landing(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	rest, _, _ = strings.Cut(rest, "?")
	return rest
}

func (d *demonstration) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return d.do(req, into)
}

func (d *demonstration) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return err
	}
	return d.do(req, into)
}

func (d *demonstration) do(req *http.Request, into any) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, bytes.TrimSpace(b))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}
