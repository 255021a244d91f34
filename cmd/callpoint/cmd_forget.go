package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/when"

	"github.com/spf13/cobra"
)

func (p *program) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget BIZIBLE_ID",
		Short: "Erase a visitor from the store, and keep the visitor out",
		Long: `forget erases what the store holds of a visitor: page views, forms, sessions, the
BizibleId and the session in the visitor's calls, the values of their touchpoints. Then
the store is compacted, so that no byte of it is left in the file. A salted hash of the
id stays: what arrives under it later is dropped, and its Tasks count as calls without a
BizibleId. Records in Salesforce stay as they are; callpoint no longer changes them. If it
is interrupted, callpoint finishes the erasure at its next start. An id of which nothing is
stored gives exit code 1; it is kept out all the same.

Backups of the store are not changed: those that callpoint made are named.`,
		Example: "  callpoint forget dde5687119cc4928fbf94393ed9f5c35",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return p.forget(cmd.Context(), args[0]) },
	}
}

func (p *program) forget(ctx context.Context, given string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	id, ok := mapping.VisitorID(given)
	if !ok {
		return usage(errors.New("not a plausible BizibleId: it is blank, longer than 255 bytes, or has control characters"))
	}
	var e store.Erased
	running, err := p.daemonCall(ctx, c, http.MethodDelete, "/v1/visitors/"+pathEscape(id), nil, &e)
	if !running && err == nil {
		err = p.withStore(c, func(s *store.Store) error {
			e, err = s.Forget(ctx, id, time.Now())
			return err
		})
	}
	if err != nil {
		return err
	}
	unknown := e.Events+e.Visits+e.Calls+e.Touchpoints == 0
	if p.output == "json" {
		e.Backups = append([]store.BackupNote{}, e.Backups...)
		err = json.NewEncoder(p.stdout).Encode(e)
	}
	switch {
	case err != nil:
		return failed(err)
	case unknown:
		return failed(fmt.Errorf("nothing is stored of %s; what arrives under it from now on is dropped", id))
	case p.output == "json":
		return nil
	}
	fmt.Fprintf(p.stdout, "Erased: %d events, %d sessions, the visitor in %d calls and %d touchpoints. Records in Salesforce stay as they are.\n",
		e.Events, e.Visits, e.Calls, e.Touchpoints)
	for _, b := range e.Backups {
		fmt.Fprintf(p.stdout, "This backup may still hold the visitor: %s, of %s\n", b.Path, when.Minute(b.At, p.zone()))
	}
	return nil
}
