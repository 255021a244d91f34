package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"callpoint/sync/engine"

	"github.com/spf13/cobra"
)

func (p *program) reconcileCommand() *cobra.Command {
	var fix bool
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare the store with Salesforce, and mend with --fix",
		Long: `reconcile compares every record that callpoint wrote with the one in Salesforce, and
asks for every Task by its id. It finds records that were deleted or edited by hand,
records with callpoint's key that the store does not know, Tasks that were deleted for
good, and Tasks that the filter finds and no poll ever read, for example because the user
could not see them. With --fix it writes what is gone or edited again, treats purged Tasks
as deleted ones (CALLPOINT_RETRACT), and reads what was never read. A running daemon does that weekly.`,
		Example: "  callpoint reconcile\n  callpoint reconcile --fix",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.reconcile(cmd.Context(), fix) },
	}
	c.Flags().BoolVar(&fix, "fix", false, "mend what differs")
	return c
}

func (p *program) reconcile(ctx context.Context, fix bool) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	var r engine.Reconciled
	running, err := p.daemonCall(ctx, c, http.MethodPost, fmt.Sprintf("/v1/reconcile?fix=%t", fix), nil, &r)
	if !running && err == nil {
		err = p.withEngine(c, func(e *engine.Engine) error {
			if r, err = e.Reconcile(ctx, fix); err != nil {
				return verdict(engine.Summary{}, err)
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(r)
	}
	for _, d := range r.Differences {
		of := d.Key
		if of == "" {
			of = d.TaskID
		}
		fmt.Fprintf(p.stdout, "%-12s %s\n", d.Kind, of)
		p.printFields(d.Fields)
	}
	fmt.Fprintln(p.stdout, r)
	return nil
}
