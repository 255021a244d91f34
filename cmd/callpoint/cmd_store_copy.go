package main

import (
	"context"
	"errors"
	"fmt"

	"callpoint/store"

	"github.com/spf13/cobra"
)

func (p *program) copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy a store from a file into PostgreSQL, or back",
		Long: `copy copies the store FROM into TO, which must be empty: a file that does not exist, or
a database or schema without tables of a store. Each of them is a file or a URL such as
postgres://user@host/database; CALLPOINT_STORE_PASSWORD is the password. callpoint must
not run on either of them. Rows and checksums of both stores are compared, and a copy that
was interrupted cannot be opened.`,
		Example: "  callpoint store copy /var/lib/callpoint/callpoint.db 'postgres://callpoint@db.internal.example/callpoint?sslmode=verify-full'",
		Args:    cobra.ExactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return p.copyStore(cmd.Context(), args[0], args[1]) },
	}
}

func (p *program) copyStore(ctx context.Context, from, to string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	c.Store = to
	o := c.storeOptions()
	o.Password, o.Connections = c.StorePassword.Reveal(), c.StoreConnections
	o.Instance = store.Instance{Name: c.Name + " (store copy)", Version: build().Version, Lease: c.Lease}
	sum, err := store.Copy(ctx, from, to, o, p.showWaiting)
	p.showWaiting("")
	if err != nil {
		if errors.Is(err, store.ErrInUse) {
			err = fmt.Errorf("%w; stop callpoint before the copy", err)
		}
		return failed(err)
	}
	return p.print(copiedText{sum, store.Redacted(from), store.Redacted(to)})
}

// copiedText is the answer of a copy.
type copiedText struct {
	store.Copied
	From string `json:"from"`
	To   string `json:"to"`
}

func (c copiedText) String() string {
	return fmt.Sprintf("%s: %d rows (%d bytes) copied to %s; counts and checksums agree.\nSet CALLPOINT_STORE to the copy, then start callpoint.", c.From, c.Rows, c.Bytes, c.To)
}
