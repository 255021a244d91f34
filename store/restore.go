package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callpoint/store/kv"
	"callpoint/store/kv/boltkv"
)

// Verify returns one sentence for each thing that is wrong with the store file at path,
// which no process may have open. It changes nothing: of a store of an older schema, whose
// indexes a migration would build, it verifies the structure alone.
func Verify(path string) (problems []string, err error) {
	db, err := boltkv.Open(path, boltkv.Options{Buckets: buckets, Accept: identify})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var id identity
	err = db.View(context.Background(), func(tx kv.Tx) (err error) {
		id, err = readIdentity(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if id.Schema < schema {
		return db.Structure(context.Background())
	}
	return (&Store{db: db}).Check()
}

// Restored is what Restore did.
type Restored struct {
	Bytes int64  `json:"bytes"`
	Old   string `json:"old"` // where the store that was replaced is now; empty: there was none
}

// Restore replaces the store at path, which no process may have open, by a verified copy of
// a backup. The old store keeps its bytes under another name beside it, which the new one
// takes over owner and mode from. At every moment path names a whole store.
func Restore(path, backup string, now time.Time) (r Restored, err error) {
	if path, err = boltkv.Resolve(path); err != nil {
		return r, err
	}
	org, err := orgOf(path)
	if errors.Is(err, ErrInUse) {
		return r, err
	} // a store that is too damaged to be read is what a backup is for
	unlock, err := boltkv.Lock(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, err
	}
	if err == nil {
		defer unlock()
	}
	part, bytes, err := copyBackup(path, backup)
	if err != nil {
		return r, err
	}
	defer os.Remove(part)
	problems, err := Verify(part)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%d problems, the first: %s", len(problems), problems[0])
	}
	if err == nil {
		err = sameOrg(org, part)
	}
	if err != nil {
		// The copy's own name would mean nothing to anybody.
		return r, fmt.Errorf("%s cannot be restored, the store is unchanged: %s", backup, strings.ReplaceAll(err.Error(), part, backup))
	}
	r.Bytes = bytes
	r.Old, err = boltkv.Replace(path, part, fmt.Sprintf("%s%s%s", path, replaced, now.UTC().Format("20060102T150405Z")))
	return r, err
}

// replaced is in the name of a store that Restore has replaced.
const replaced = ".replaced-"

// copyBackup copies a backup to a private file beside the store.
func copyBackup(path, backup string) (part string, bytes int64, err error) {
	src, err := os.Open(backup)
	if err != nil {
		return "", 0, err
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return "", 0, err
	}
	if !fi.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%s is not a regular file", backup)
	}
	if old, err := os.Stat(path); err == nil && os.SameFile(fi, old) {
		return "", 0, fmt.Errorf("%s is the store itself", backup)
	}
	dst, err := os.CreateTemp(filepath.Dir(path), ".callpoint-restore-*")
	if err != nil {
		return "", 0, err
	}
	bytes, err = io.Copy(dst, src)
	if err = errors.Join(err, dst.Sync(), dst.Close()); err != nil {
		return "", 0, errors.Join(err, os.Remove(dst.Name()))
	}
	return dst.Name(), bytes, nil
}

// sameOrg refuses a backup of another org's store. An empty org is unknown.
func sameOrg(org, part string) error {
	if org == "" {
		return nil
	}
	other, err := orgOf(part)
	if err == nil && other != "" && other != org {
		err = fmt.Errorf("%w: it is of org %s, the store of %s; move the store away first", ErrOtherOrg, other, org)
	}
	return err
}

// orgOf reads the org that a store file belongs to; empty before the first login.
func orgOf(path string) (org string, err error) {
	err = boltkv.Peek(path, buckets, func(tx kv.Tx) error {
		_, err := get(tx, bMeta, []byte("org"), &org)
		return err
	})
	return org, err
}

// replacedStores lists the stores that Restore replaced and that are still beside it.
func (s *Store) replacedStores() (all []BackupNote) {
	if _, ok := s.db.(file); !ok {
		return nil
	}
	path, err := boltkv.Resolve(s.Path())
	if err != nil {
		return nil
	}
	names, _ := filepath.Glob(escapeGlob(path) + replaced + "*") // a pattern that is well formed
	for _, name := range names {
		if fi, err := os.Stat(name); err == nil {
			all = append(all, BackupNote{Path: name, At: fi.ModTime().UTC()})
		}
	}
	return all
}

// escapeGlob returns a pattern that matches the path alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
