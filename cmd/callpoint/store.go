package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"callpoint/store"

	"github.com/spf13/cobra"
)

func (p *program) storeCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "Check or back up the store", Args: cobra.NoArgs}
	c.AddCommand(&cobra.Command{
		Use:     "check",
		Short:   "Verify structure, checksums and indexes of the store",
		Example: "  callpoint store check",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return p.withStore(p.checkStore) },
	}, &cobra.Command{
		Use:     "backup FILE",
		Short:   "Write a consistent copy of the store",
		Example: "  callpoint store backup /var/backups/callpoint.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.withStore(func(s *store.Store) error { return p.backupStore(s, args[0]) })
		},
	})
	return c
}

// withStore opens the configured store, which must exist, for one command.
func (p *program) withStore(fn func(*store.Store) error) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Store); err != nil {
		return failed(fmt.Errorf("no store: %w; CALLPOINT_STORE names it", err))
	}
	s, err := store.Open(c.Store, store.Options{})
	if err != nil {
		return failed(err)
	}
	return errors.Join(fn(s), s.Close())
}

func (p *program) checkStore(s *store.Store) error {
	problems, err := s.Check()
	if err != nil {
		return failed(err)
	}
	for _, problem := range problems {
		fmt.Fprintln(p.stdout, problem)
	}
	if len(problems) > 0 {
		return usage(fmt.Errorf("%s: %d problems; restore a backup", s.Path(), len(problems)))
	}
	fmt.Fprintf(p.stdout, "%s is sound\n", s.Path())
	return nil
}

// backupStore writes beside the target first: a copy is there whole, or not at all.
func (p *program) backupStore(s *store.Store, path string) (err error) {
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return failed(err)
	}
	n, err := s.Backup(context.Background(), f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		_ = os.Remove(path + ".part")
		return failed(err)
	}
	fmt.Fprintf(p.stdout, "%s: %d bytes\n", path, n)
	return nil
}
