package boltkv

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"callpoint/store/kv"
)

// write1 puts one row, as an acknowledged event is put.
func write1(db *DB) error {
	return db.Update(context.Background(), func(tx kv.Tx) error { return tx.Put(0, []byte("k"), []byte("v")) })
}

// A file that was removed or replaced takes no write, and is not overwritten by a
// compaction. It takes writes again once it has its name back.
func TestFileOutOfPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		says  string
	}{
		{"removed", func(*testing.T, string) {}, "was removed"},
		{"another file moved over it", func(t *testing.T, path string) {
			other := openTest(t, Options{})
			if err := errors.Join(other.Close(), os.Rename(other.path, path)); err != nil {
				t.Fatal(err)
			}
		}, "was replaced"},
		{"a link to elsewhere", func(t *testing.T, path string) {
			if err := os.Symlink(openTest(t, Options{}).path, path); err != nil {
				t.Fatal(err)
			}
		}, "was replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := openTest(t, Options{})
			if err := errors.Join(write1(db), db.Writable()); err != nil {
				t.Fatal(err)
			}
			aside := filepath.Join(t.TempDir(), "aside.db")
			if err := os.Rename(db.path, aside); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, db.path)
			_, _, compacted := db.Compact(t.Context())
			for what, err := range map[string]error{"write": write1(db), "Writable": db.Writable(), "Compact": compacted, "Replaceable": db.Replaceable()} {
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), db.path) {
					t.Errorf("%s: %v, want %q", what, err, c.says)
				}
			}
			if err := os.Rename(aside, db.path); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(write1(db), db.Writable()); err != nil {
				t.Errorf("after it is back: %v", err)
			}
		})
	}
}

// Through a link the file itself is compacted, not the link replaced; a link to nothing
// makes the file that it names.
func TestSymbolicLinks(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	if err := errors.Join(write1(db), db.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "link.db")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o700), os.Symlink(db.path, filepath.Join(dir, "a", "second.db")), os.Symlink("a/second.db", link)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(link)
	if err != nil {
		t.Fatal(err)
	}
	linked, err := Open(link, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := linked.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write1(linked), linked.Close()); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(link)
	if err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", fi, err)
	}
	if after, err := os.Stat(db.path); err != nil || os.SameFile(before, after) {
		t.Errorf("the file behind the link was not compacted: %v", err)
	}
	nothing, to := filepath.Join(dir, "nothing.db"), filepath.Join(dir, "made.db")
	if err := os.Symlink("made.db", nothing); err != nil {
		t.Fatal(err)
	}
	if err := Create(nothing, testOptions, func(kv.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	made, err := Open(nothing, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if fi, err := os.Lstat(to); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("%s was not made: %v", to, err)
	}
}

// What a rename cannot replace is named before anything is done.
func TestNotReplaceable(t *testing.T) {
	t.Parallel()
	t.Run("hard link", func(t *testing.T) {
		t.Parallel()
		db := openTest(t, Options{})
		if err := os.Link(db.path, db.path+".second"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := db.Compact(t.Context()); err == nil || !strings.Contains(err.Error(), "hard link") {
			t.Errorf("%v", err)
		}
	})
	t.Run("mount point", func(t *testing.T) {
		t.Parallel()
		db := openTest(t, Options{})
		if out, err := exec.Command("mount", "--bind", db.path, db.path).CombinedOutput(); err != nil {
			t.Skipf("mount needs root: %s", out)
		}
		t.Cleanup(func() { _ = syscall.Unmount(db.path, syscall.MNT_DETACH) })
		if _, _, err := db.Compact(t.Context()); err == nil || !strings.Contains(err.Error(), "mount point") {
			t.Errorf("%v", err)
		}
		if err := write1(db); err != nil {
			t.Errorf("a mounted file takes writes: %v", err)
		}
	})
}

// A copy follows no link, removes nothing that is not a regular file, and is nobody else's
// to read.
func TestCopiesFollowNoLinks(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	if err := write1(db); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, compacting(db.path)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Compact(t.Context()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "precious" {
		t.Errorf("what the link names is %q: %v", b, err)
	}
}

// Compaction keeps owner and mode.
func TestCompactKeepsOwnerAndMode(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	if err := errors.Join(write1(db), os.Chmod(db.path, 0o640)); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(db.path, 12345, 23456); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(db.path)
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	if fi.Mode().Perm() != 0o640 || root && (st.Uid != 12345 || st.Gid != 23456) {
		t.Errorf("mode %v, owner %d:%d", fi.Mode(), st.Uid, st.Gid)
	}
}
