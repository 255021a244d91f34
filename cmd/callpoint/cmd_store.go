package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"callpoint/store"

	"github.com/spf13/cobra"
)

func (p *program) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "store",
		Short:   "Check, compact, back up, restore or copy the store",
		Long:    "store works on the store, which holds everything that callpoint knows: in the daemon where one runs.",
		Example: "  callpoint store check\n  callpoint store backup /var/backups/callpoint.db",
		Args:    noSubcommand,
		RunE:    showHelp,
	}
	c.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Verify structure, checksums and indexes of the store",
		Long: `check reads the whole store and prints one line for each thing that is wrong. Where
the daemon runs, it does it.`,
		Example: "  callpoint store check",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.checkStore(cmd.Context()) },
	}, &cobra.Command{
		Use:   "compact",
		Short: "Give the space of what was pruned back to the disk",
		Long: `compact writes the store into a new file without its free pages and goes on with that
one. The daemon does it by itself when a third of the file is free; where it runs, it
does it now. The disk needs room for both files.`,
		Example: "  callpoint store compact",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.compactStore(cmd.Context()) },
	}, p.backupCommand(), p.restoreCommand(), p.copyCommand())
	return c
}

// needStore returns an error if the configured store does not exist: a command that reads
// or mends must not create an empty one by accident.
func (c *Config) needStore() error {
	if c.shared() {
		return nil
	}
	_, err := os.Stat(c.Store)
	switch {
	case err == nil:
		return nil
	case c.Unread != nil:
		return failed(c.Unread)
	case errors.Is(err, os.ErrNotExist):
		return failed(fmt.Errorf("no daemon answers at %s, and there is no store at %s\nStart the daemon, run callpoint init, or name the store in CALLPOINT_STORE (under systemd: %s)", c.Listen, here(c.Store), systemStore))
	}
	return failed(fmt.Errorf("CALLPOINT_STORE: %w", err))
}

// here writes a path in the current folder as such.
func here(path string) string {
	if filepath.Base(path) == path {
		return "./" + path
	}
	return path
}

// withStore opens the configured store, which must exist, for one command.
func (p *program) withStore(c Config, fn func(*store.Store) error) error {
	if err := c.needStore(); err != nil {
		return err
	}
	s, err := store.Open(c.Store, c.storeOptions())
	if err != nil {
		return failed(err)
	}
	p.readZone(s)
	if err := errors.Join(fn(s), s.Close()); err != nil {
		return failed(err)
	}
	return nil
}

func (p *program) checkStore(ctx context.Context) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	var found checked
	running, err := p.daemonCall(ctx, c, http.MethodGet, "/v1/store/check", nil, &found)
	if !running && err == nil {
		err = p.withStore(c, func(s *store.Store) error {
			found.Problems, err = s.Check()
			return err
		})
	}
	if err != nil {
		return err
	}
	if p.output == "json" {
		found.Problems = append([]string{}, found.Problems...)
		err = json.NewEncoder(p.stdout).Encode(found)
	} else {
		for _, problem := range found.Problems {
			fmt.Fprintln(p.stdout, problem)
		}
		if len(found.Problems) == 0 {
			fmt.Fprintf(p.stdout, "%s is sound\n", c.storeName())
		}
	}
	if len(found.Problems) > 0 {
		return misconfigured(fmt.Errorf("%s: problems found: %d; restore a backup", c.storeName(), len(found.Problems)))
	}
	return err
}

func (p *program) compactStore(ctx context.Context) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	var did compacted
	running, err := p.daemonCall(ctx, c, http.MethodPost, "/v1/store/compact", nil, &did)
	if !running && err == nil {
		err = p.withStore(c, func(s *store.Store) error {
			did.Before, did.After, err = s.Compact(ctx)
			return err
		})
	}
	if err != nil {
		return err
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(did)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %d bytes before, %d after\n", c.Store, did.Before, did.After)
	return err
}
