package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"callpoint/store"

	"github.com/spf13/cobra"
)

func (p *program) backupCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent, verified copy of the store, also while the daemon runs",
		Long: `backup writes a copy of the store as of now to FILE, verifies it, and then gives it its
name: FILE is a whole copy, or it is not there. An existing file is replaced only with
--force, the store itself never. The path is recorded: forget lists the backups that still
hold a visitor. "callpoint store restore FILE" restores one.`,
		Example: "  callpoint store backup /var/backups/callpoint.db",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return p.backupStore(cmd.Context(), args[0], force) },
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	return c
}

func (p *program) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the store by a backup",
		Long: `restore copies FILE beside the store, verifies the copy, and puts it in the store's place,
with its owner and mode. The old store is kept beside it, under a name with
".replaced-" and the time. The daemon must not run. Events that were collected since the
backup are lost, and visitors that were erased since (callpoint forget) are back: erase them
again.`,
		Example: "  systemctl stop callpoint\n  callpoint store restore /var/backups/callpoint.db\n  systemctl start callpoint",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return p.restoreStore(cmd.Context(), args[0]) },
	}
}

// backupStore writes a private file beside the target, which gets its name once it is
// verified: a copy is there whole, or not at all.
func (p *program) backupStore(ctx context.Context, path string, force bool) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	if err := c.needFile(); err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return failed(err)
	}
	if err := checkTarget(c.Store, path, force); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return failed(err)
	}
	part := f.Name()
	defer os.Remove(part) // it has another name by then, or is of no use
	out := &countingWriter{w: f}
	running, err := p.daemonCall(ctx, c, http.MethodPost, "/v1/store/backup", map[string]string{"path": path}, io.Writer(out))
	if !running && err == nil {
		err = p.withStore(c, func(s *store.Store) error {
			if err := s.NoteBackup(ctx, store.BackupNote{Path: path, At: time.Now().UTC()}); err != nil {
				fmt.Fprintf(p.stderr, "callpoint: the backup is not recorded, so forget will not name it: %v\n", err)
			}
			_, err := s.Backup(ctx, out)
			return err
		})
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return failed(err)
	}
	problems, err := store.Verify(part)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%d problems, the first: %s", len(problems), problems[0])
	}
	if err != nil {
		return failed(fmt.Errorf("the copy is damaged and was removed, callpoint store check shows whether the store is: %w", err))
	}
	if err := giveName(part, path, force); err != nil {
		return failed(err)
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(map[string]any{"path": path, "bytes": out.n})
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %d bytes, verified\n", path, out.n)
	return err
}

// checkTarget refuses a path that a backup must not replace.
func checkTarget(storePath, path string, force bool) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if sameFile(storePath, path) {
		return fmt.Errorf("%s is the store itself; name another file", path)
	}
	switch {
	case !force:
		return fmt.Errorf("%s exists; name another file, or give --force to replace it", path)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file; name another file", path)
	}
	return nil
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	fa, aerr := os.Stat(a)
	fb, berr := os.Stat(b)
	return aerr == nil && berr == nil && os.SameFile(fa, fb)
}

// giveName moves a finished file to its path. Without force it never replaces a file, also
// not one that was made meanwhile.
func giveName(part, path string, force bool) error {
	if !force {
		err := os.Link(part, path)
		switch {
		case errors.Is(err, os.ErrExist):
			return fmt.Errorf("%s exists; name another file, or give --force to replace it", path)
		case err == nil:
			return syncFolder(path)
		}
		// Not every file system has hard links.
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s exists; name another file, or give --force to replace it", path)
		}
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncFolder(path)
}

// syncFolder makes the name of a file durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// restoredText is what restore prints.
type restoredText struct {
	store.Restored
	Store string `json:"store"`
}

func (r restoredText) String() string {
	text := fmt.Sprintf("%s: restored, %d bytes", r.Store, r.Bytes)
	if r.Old != "" {
		text += fmt.Sprintf("\nThe old store is %s. Remove it once it is no longer needed: it holds visitors' data.", r.Old)
	}
	return text + "\nVisitors that were erased since the backup are back: erase them again with callpoint forget."
}

func (p *program) restoreStore(ctx context.Context, backup string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	if err := c.needFile(); err != nil {
		return err
	}
	// The lock shows a daemon that has this file open, and the request one whose file was removed.
	running, err := p.daemonCall(ctx, c, http.MethodGet, "/livez", nil, io.Discard)
	if running {
		return failed(fmt.Errorf("the daemon runs: stop it first (systemctl stop callpoint), then restore"))
	}
	if err != nil {
		return err
	}
	done, err := store.Restore(c.Store, backup, time.Now())
	if err != nil {
		return failed(err)
	}
	return p.print(restoredText{done, c.Store})
}
