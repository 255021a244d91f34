package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"callpoint/store"
)

// A diskOp is one thing that a recorded run did to the store's file, in its order.
type diskOp struct {
	at    int64
	data  []byte
	size  int64 // of an ftruncate; -1 otherwise
	sync  bool
	acked int // events acknowledged before it
}

var (
	straceLine = regexp.MustCompile(`^\d+ +(<\.\.\. )?(\w+)(?:\((\d+)<([^>]*)>)?(.*)$`)
	straceData = regexp.MustCompile(`^, "((?:\\x[0-9a-f]{2})*)", (\d+), (\d+)`)
	straceSize = regexp.MustCompile(`^, (\d+)`)
	straceOK   = `"` + straceHex("HTTP/1.1 200")
)

// straceHex is how strace -xx shows a text.
func straceHex(s string) string {
	return regexp.MustCompile(`..`).ReplaceAllString(hex.EncodeToString([]byte(s)), `\x$0`)
}

// readOps reads a log of strace. A write counts from its entry on, a sync from its
// return on: that is the order in which they can matter.
func readOps(t *testing.T, log, file string) (ops []diskOp) {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	acked := 0
	syncing := map[string]bool{} // threads in a sync of the file
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		m := straceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		thread, _, _ := strings.Cut(lines.Text(), " ")
		resumed, call, path, rest := m[1] != "", m[2], m[4], m[5]
		switch {
		case call == "write" && !resumed && strings.Contains(rest, straceOK):
			acked++
		case call == "fdatasync" && path == file && strings.Contains(rest, "unfinished"):
			syncing[thread] = true
		case call == "fdatasync" && (path == file || resumed && syncing[thread]):
			delete(syncing, thread)
			ops = append(ops, diskOp{size: -1, sync: true, acked: acked})
		case call == "pwrite64" && path == file:
			d := straceData.FindStringSubmatch(rest)
			if d == nil {
				t.Fatalf("strace said %.200s", rest)
			}
			data, err := hex.DecodeString(strings.ReplaceAll(d[1], `\x`, ""))
			at, aerr := strconv.ParseInt(d[3], 10, 64)
			if err != nil || aerr != nil || strconv.Itoa(len(data)) != d[2] {
				t.Fatalf("strace: %d bytes of %s at %s: %v %v", len(data), d[2], d[3], err, aerr)
			}
			ops = append(ops, diskOp{at: at, data: data, size: -1, acked: acked})
		case call == "ftruncate" && path == file:
			size, err := strconv.ParseInt(straceSize.FindStringSubmatch(rest)[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			ops = append(ops, diskOp{size: size, acked: acked})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ops
}

// An image is a file that is mostly holes: bbolt grows it by 16 MiB. Its pages are shared
// between images, and replaced, never changed.
type image struct {
	size  int64
	pages map[int64][]byte // by number
}

const imagePage = 4096

func newImage(b []byte) image {
	return diskOp{data: b, size: -1}.apply(image{pages: map[int64][]byte{}}, whole)
}

func (m image) clone() image { return image{m.size, maps.Clone(m.pages)} }

// write makes the image a file.
func (m image) write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = f.Truncate(m.size)
	for n, page := range m.pages {
		if at := n * imagePage; at < m.size {
			_, werr := f.WriteAt(page[:min(imagePage, m.size-at)], at)
			err = errors.Join(err, werr)
		}
	}
	return errors.Join(err, f.Close())
}

// apply does an operation to an image, or only its first part.
func (o diskOp) apply(m image, part int) image {
	if o.size >= 0 {
		m.size = o.size
		return m
	}
	data, at := o.data[:min(part, len(o.data))], o.at
	for len(data) > 0 {
		page := make([]byte, imagePage)
		copy(page, m.pages[at/imagePage])
		n := copy(page[at%imagePage:], data)
		m.pages[at/imagePage] = page
		at, data = at+int64(n), data[n:]
	}
	m.size = max(m.size, at)
	return m
}

// A crashState is what may be on the disk when the power goes, and how many events had
// been acknowledged by then.
type crashState struct {
	name  string
	image image
	acked int
}

const whole = 1 << 30

// crashStates goes through a run and calls fn for states that a crash may leave behind:
// of what was not synced yet, any part may have reached the disk, in any order, torn
// between sectors. A lying disk forgets that it was told to sync.
func crashStates(base []byte, ops []diskOp, r *rand.Rand, lying bool, fn func(crashState)) {
	durable := newImage(base)
	var pending []diskOp
	for i, o := range ops {
		if o.sync {
			if !lying || i%2 == 0 {
				for _, p := range pending {
					durable = p.apply(durable, whole)
				}
				pending = nil
			}
			continue
		}
		pending = append(pending, o)
		say := func(kind string, keep func(n int) int) {
			image := durable.clone()
			for n, p := range pending {
				if part := keep(n); part > 0 {
					image = p.apply(image, part)
				}
			}
			fn(crashState{fmt.Sprintf("operation %d, %s", i, kind), image, o.acked})
		}
		last := len(pending) - 1
		say("nothing unsynced", func(int) int { return 0 })
		say("everything", func(int) int { return whole })
		say("the last alone", func(n int) int { return choose(n == last, whole, 0) })
		say("all but the first", func(n int) int { return choose(n == 0, 0, whole) })
		sector := 512 * (1 + r.IntN(max(1, len(o.data)/512)))
		say(fmt.Sprintf("the last torn at %d", sector), func(n int) int { return choose(n == last, sector, whole) })
		say(fmt.Sprintf("the last alone, torn at %d", sector), func(n int) int { return choose(n == last, sector, 0) })
		for range 2 {
			say("some", func(int) int { return choose(r.IntN(2) == 0, whole, 512*r.IntN(9)) })
		}
	}
}

func choose(yes bool, a, b int) int {
	if yes {
		return a
	}
	return b
}

// TestTornAndReorderedWrites records a run of the daemon, and opens every state in which
// a crash might have left its file.
func TestTornAndReorderedWrites(t *testing.T) {
	t.Parallel()
	needStrace(t)
	events, r := proofCycles(t, "TORN_EVENTS", 12), proofRand(t)
	b := newBench(t)
	b.seedFile()
	base, err := os.ReadFile(b.store)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "strace")
	c := exec.CommandContext(context.Background(), "strace", "-f", "-y", "-qq", "-xx", "-s", "4194304", "-o", log,
		"-e", "trace=pwrite64,fdatasync,ftruncate,write", os.Args[0])
	c.Env = b.env
	d := b.start(c)
	d.sync()
	var l load
	for range events {
		e := l.event()
		if status, answer := d.request(http.MethodPost, "/v1/events", e); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
		l.acked = append(l.acked, e)
	}
	d.killGroup()
	ops := readOps(t, log, straceHex(b.store))
	const before = 1 // the answer to POST /v1/sync, which is no event
	for i := range ops {
		ops[i].acked = max(0, ops[i].acked-before)
	}
	good, bad := tornVerdicts(t, base, ops, l.acked, r, false)
	t.Logf("%d operations, %d crash states, %d bad", len(ops), good+len(bad), len(bad))
	for _, s := range bad[:min(10, len(bad))] {
		t.Error(s)
	}
	if events >= 12 && good < 400 {
		t.Errorf("only %d crash states: too few", good)
	}
	_, bad = tornVerdicts(t, base, ops, l.acked, r, true)
	t.Logf("control: a disk that lies about every other sync leaves %d bad states", len(bad))
	if len(bad) == 0 {
		t.Error("a disk that does not sync does no harm: the experiment is blind")
	}
}

// tornJob is what a child verifies: it may fault, so that it has a process of its own.
type tornJob struct {
	Name, Path string
	Acked      []string
}

// tornVerdicts has children open crash states, some at a time.
func tornVerdicts(t *testing.T, base []byte, ops []diskOp, acked []map[string]any, r *rand.Rand, lying bool) (good int, bad []string) {
	t.Helper()
	dir := tornDir(t)
	var urls []string
	for _, e := range acked {
		urls = append(urls, e["url"].(string))
	}
	var jobs []tornJob
	flush := func() {
		for len(jobs) > 0 {
			verdicts := verifyTorn(t, dir, jobs)
			for i, v := range verdicts {
				if v == "" {
					good++
				} else {
					bad = append(bad, jobs[i].Name+": "+v)
				}
			}
			jobs = jobs[len(verdicts):]
		}
	}
	crashStates(base, ops, r, lying, func(s crashState) {
		path := filepath.Join(dir, strconv.Itoa(len(jobs)))
		if err := s.image.write(path); err != nil {
			t.Fatal(err)
		}
		if jobs = append(jobs, tornJob{s.name, path, urls[:min(s.acked, len(urls))]}); len(jobs) == 100 {
			flush()
		}
	})
	flush()
	return good, bad
}

// verifyTorn runs one child. Where it dies, the job that it was at is bad.
func verifyTorn(t *testing.T, dir string, jobs []tornJob) (verdicts []string) {
	t.Helper()
	list := filepath.Join(dir, "jobs")
	b, err := json.Marshal(jobs)
	if err == nil {
		err = os.WriteFile(list, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// A file that is damaged can lead its reader round in a circle.
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(limit, os.Args[0], "-test.run", "^TestTornChild$")
	c.Env = append(os.Environ(), "TORN_JOBS="+list)
	out, err := c.CombinedOutput()
	for line := range strings.SplitSeq(string(out), "\n") {
		if v, ok := strings.CutPrefix(line, "verdict: "); ok {
			verdicts = append(verdicts, v)
		}
	}
	if len(verdicts) < len(jobs) {
		verdicts = append(verdicts, fmt.Sprintf("the process died: %v", err))
	}
	return verdicts
}

// TestTornChild is the other half of TestTornAndReorderedWrites.
func TestTornChild(t *testing.T) {
	list := os.Getenv("TORN_JOBS")
	if list == "" {
		t.Skip("the child of TestTornAndReorderedWrites")
	}
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var jobs []tornJob
	if err := json.Unmarshal(b, &jobs); err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		fmt.Println("verdict: " + strings.ReplaceAll(openTorn(j), "\n", " "))
	}
}

// openTorn says what is wrong with a file; nothing is the empty string.
func openTorn(j tornJob) string {
	s, err := store.Open(j.Path, store.Options{Timeout: time.Second})
	if err != nil {
		return err.Error()
	}
	defer s.Close()
	if problems, err := s.Check(); err != nil || len(problems) > 0 {
		return fmt.Sprint(problems, err)
	}
	stored := map[string]bool{}
	err = s.EachVisitor(func(v store.Journey) bool {
		for _, e := range v.Events {
			stored[e.URL] = true
		}
		return true
	})
	if err != nil {
		return err.Error()
	}
	for _, url := range j.Acked {
		if !stored[url] {
			return "lost " + url
		}
	}
	return ""
}

// tornDir is in memory where that is possible: these files are there to be read once.
func tornDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "callpoint-torn-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
