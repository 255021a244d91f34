package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// A disk is a file system in a file, of which the power can be cut.
type disk struct {
	t          *testing.T
	image, dir string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("no proof: mounting needs root")
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("no proof: mkfs.ext4: %v %s", err, out)
	}
	if out, err := d.mount(); err != nil {
		t.Skipf("no proof: mount -o loop: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", d.dir).Run() })
	return d
}

func (d *disk) mount() ([]byte, error) {
	return exec.Command("mount", "-o", "loop,errors=remount-ro", d.image, d.dir).CombinedOutput()
}

// cut stops everything that has not reached the disk from ever getting there: the
// file system goes down without writing its journal (FS_IOC_SHUTDOWN, NOLOGFLUSH).
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const shutdown, noLogFlush = 0x8004587d, uint32(2)
	flag := noLogFlush
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		d.t.Skipf("no proof: FS_IOC_SHUTDOWN: %v", errno)
	}
}

// restore brings the power back: the file system recovers by its journal.
func (d *disk) restore() {
	d.t.Helper()
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("umount: %v %s", err, out)
	}
	if out, err := d.mount(); err != nil {
		d.t.Fatalf("mount: %v %s", err, out)
	}
}

// TestPowerCut cuts the power under the daemon while it collects and syncs. What was
// acknowledged is there afterwards, the store is whole, and one touchpoint stands for
// every call.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	cycles, r := proofCycles(t, "POWER_CYCLES", 5), proofRand(t)
	d := newDisk(t)
	b := newBench(t, "CALLPOINT_POLL_INTERVAL=1s", "CALLPOINT_STORE_FREE_FLOOR=0")
	b.store = filepath.Join(d.dir, "callpoint.db")
	b.env = append(b.env, "CALLPOINT_STORE="+b.store)
	var l load
	var tasks []string
	for i := range cycles {
		p := b.daemon()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() { l.post(p.url, nil) })
		}
		clients.Go(func() { _, _ = http.Post(p.url+"/v1/sync", "", nil) })
		tasks = append(tasks, b.task(yesterday("12:00:30"), map[string]any{"bizible2__BizibleId__c": fmt.Sprint("killed-", i)}))
		<-time.After(time.Duration(40+r.IntN(160)) * time.Millisecond)
		d.cut()
		p.kill()
		clients.Wait()
		d.restore()
		b.verify(l.acked)
	}
	b.syncOnce()
	b.oneEach(tasks)
	t.Logf("%d power cuts, %d events acknowledged of %d sent", cycles, len(l.acked), l.sent())
	if len(l.acked) < cycles {
		t.Error("next to nothing was acknowledged: nothing is proved")
	}
}

// TestPowerCutControl does the same to a program that does not sync, and must find it
// out: else TestPowerCut proves nothing.
func TestPowerCutControl(t *testing.T) {
	t.Parallel()
	cycles, r := 3, proofRand(t)
	d := newDisk(t)
	bad := 0
	for range cycles {
		if !unsyncedSurvives(t, d, r) {
			bad++
		}
	}
	t.Logf("without fsync, %d of %d power cuts lost something", bad, cycles)
	if bad == 0 {
		t.Error("cutting the power harms not even a program that never syncs: the experiment is blind")
	}
}

// unsyncedSurvives writes rows with NoSync, cuts the power and looks for all of them.
func unsyncedSurvives(t *testing.T, d *disk, r *rand.Rand) (whole bool) {
	t.Helper()
	path := filepath.Join(d.dir, fmt.Sprintf("control-%d.db", r.Uint64()))
	key := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := 100 + r.IntN(400)
	for n := range rows {
		err := db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("rows"))
			if err != nil {
				return err
			}
			return bucket.Put(key(n), make([]byte, 400))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	d.cut()
	_ = db.Close() // on a dead disk
	d.restore()
	fi, err := os.Stat(path)
	if err != nil || fi.Size() < 4*int64(os.Getpagesize()) {
		return false // bbolt would take it for a new file
	}
	defer func() {
		if recover() != nil { // as bbolt does on a file that was cut short
			whole = false
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return false
	}
	defer db.Close()
	whole = true
	_ = db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte("rows"))
		for n := range rows {
			if bucket == nil || bucket.Get(key(n)) == nil {
				whole = false
			}
		}
		return nil
	})
	return whole
}
