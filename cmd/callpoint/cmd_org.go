package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"callpoint/sync/collector"
	"callpoint/sync/orgsim"

	"github.com/spf13/cobra"
)

// orgOptions are the flags of org: what the simulated org is and refuses.
type orgOptions struct {
	address                             string
	faults                              []string
	hide, readOnly, noObject            []string
	sandbox, equalMaster, keysFreedLate bool
	noConvertedLeads, refuseGzip        bool
	packageVersion, permissionSet       string
}

func (p *program) orgCommand() *cobra.Command {
	var o orgOptions
	c := &cobra.Command{
		Use:   "org",
		Short: "Run the simulated Salesforce org by itself, for trying configurations",
		Long: `Serves a simulated Salesforce org on a loopback address until interrupted, and prints
the SALESFORCE_* variables with which callpoint logs in to it. Create and inspect
records under /sim/, a test API that real Salesforce does not have.

--hide, --read-only and --no-object take permissions away from the integration user,
to try what callpoint check finds. --permission-set deploys a permission set as
Salesforce would: it refuses required and master-detail fields, and permissions
without those that they depend on.

The test API, which needs no login:
  POST   /sim/insert/OBJECT            a record as JSON, or an array of records
  POST   /sim/update/OBJECT/ID         fields as JSON
  DELETE /sim/OBJECT/ID[?purge=true]   to the recycle bin, or for good
  POST   /sim/undelete/OBJECT/ID
  GET    /sim/records/OBJECT[/ID]
  GET    /sim/stats                    requests, records and bytes; POST /sim/stats/reset
  POST   /sim/fault                    a script as for --fault; DELETE /sim/fault ends all
  POST   /sim/permission-set           metadata XML, as for --permission-set
  POST   /sim/expire                   ends every session`,
		Example: `  callpoint org --listen 127.0.0.1:8426
  curl -s -X POST 127.0.0.1:8426/sim/insert/Task -d '{"Subject":"Call","Type":"Call","TaskSubtype":"Call","CallType":"Inbound"}'
  curl -s 127.0.0.1:8426/sim/records/bizible2__Bizible_Touchpoint__c
  callpoint org --hide Lead.ConvertedContactId --read-only bizible2__Bizible_Person__c --no-object Opportunity
  callpoint org --sandbox
  callpoint org --fault 'op=upsert,nth=3,drop=after'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serveOrg(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.address, "listen", "127.0.0.1:8426", "loopback `ADDRESS` to listen on")
	f.StringArrayVar(&o.faults, "fault", nil, "make requests fail, by a `SCRIPT` such as op=query,nth=2,status=503; may be repeated")
	f.StringArrayVar(&o.hide, "hide", nil, "take read access to `OBJECT.FIELD`; may be repeated")
	f.StringArrayVar(&o.readOnly, "read-only", nil, "take edit access to `OBJECT` or OBJECT.FIELD; may be repeated")
	f.StringArrayVar(&o.noObject, "no-object", nil, "take all access to `OBJECT`; may be repeated")
	f.StringVar(&o.permissionSet, "permission-set", "", "give the integration user the rights of the permission set in `FILE`, and no others")
	f.BoolVar(&o.sandbox, "sandbox", false, "be a sandbox, as check --try-write needs it")
	f.BoolVar(&o.noConvertedLeads, "no-converted-leads", false, `take the permission "View and Edit Converted Leads"`)
	f.BoolVar(&o.equalMaster, "equal-master-passes", false, "accept an update that repeats the person of a touchpoint")
	f.BoolVar(&o.keysFreedLate, "keys-freed-late", false, "refuse to delete and create one key in one transaction")
	f.BoolVar(&o.refuseGzip, "refuse-gzip", false, "refuse compressed request bodies")
	f.StringVar(&o.packageVersion, "package-version", orgsim.DefaultPackageVersion, "`VERSION` of the Marketo Measure package")
	return c
}

// simulate makes the org that the flags describe.
func (o orgOptions) simulate() (*orgsim.Org, error) {
	if !packageVersion.MatchString(o.packageVersion) {
		return nil, usage(fmt.Errorf("--package-version %s: want two numbers, as in %s", o.packageVersion, orgsim.DefaultPackageVersion))
	}
	org := orgsim.New(orgsim.Config{Sandbox: o.sandbox, PackageVersion: o.packageVersion})
	var problems []error
	each := func(flag string, values []string, apply func(string) error) {
		for _, v := range values {
			if err := apply(v); err != nil {
				problems = append(problems, fmt.Errorf("--%s %s: %w", flag, v, err))
			}
		}
	}
	each("fault", o.faults, func(script string) error {
		fault, err := orgsim.ParseFault(script)
		if err == nil {
			org.Fault(fault)
		}
		return err
	})
	if o.permissionSet != "" {
		each("permission-set", []string{o.permissionSet}, func(name string) error {
			metadata, err := os.ReadFile(name)
			if err == nil {
				err = org.DeployPermissionSet(metadata)
			}
			return err
		})
	}
	each("hide", o.hide, func(name string) error {
		object, field, ok := strings.Cut(name, ".")
		if !ok {
			return errors.New("want OBJECT.FIELD; --no-object hides an object")
		}
		return org.HideFieldOf(object, field)
	})
	each("read-only", o.readOnly, func(name string) error {
		if object, field, ok := strings.Cut(name, "."); ok {
			return org.LockFieldOf(object, field)
		}
		return org.LockObject(name)
	})
	each("no-object", o.noObject, org.HideObject)
	if o.noConvertedLeads {
		org.ConvertedLeads(false)
	}
	org.EqualMasterPasses(o.equalMaster)
	org.KeysFreedLate(o.keysFreedLate)
	org.RefuseGzip(o.refuseGzip)
	if len(problems) > 0 {
		return nil, usage(errors.Join(problems...))
	}
	return org, nil
}

var packageVersion = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}$`)

func (p *program) serveOrg(ctx context.Context, o orgOptions) error {
	org, err := o.simulate()
	if err != nil {
		return err
	}
	address := o.address
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
