package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"callpoint/store"

	"github.com/klauspost/compress/zstd"
)

// importLines are n events and n sessions, of many visitors in no order.
func importLines(n int) []byte {
	var b bytes.Buffer
	at := yesterday("12:00:00")
	for i := range n {
		stamp := at.Add(time.Duration(i) * time.Second / 10).Format(time.RFC3339Nano)
		visitor := fmt.Sprintf("%08x", uint32(i/4+1)*2654435761)
		fmt.Fprintf(&b, `{"type":"view","bizible_id":"%s","at":"%s","url":"https://www.example.com/%d","ip":"203.0.113.7"}`+"\n", visitor, stamp, i)
		fmt.Fprintf(&b, `{"session_id":"s%d","bizible_id":"%s","started_at":"%s","ended_at":"%s","landing_page":"https://www.example.com/"}`+"\n", i, visitor, stamp, stamp)
	}
	return b.Bytes()
}

func tempFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func compress(t *testing.T, plain []byte) (gz, zst []byte) {
	t.Helper()
	var a, b bytes.Buffer
	g := gzip.NewWriter(&a)
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{g, z} {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return a.Bytes(), b.Bytes()
}

// importJSON runs an import that must end with a code, and gives back its summary.
func (b *bench) importJSON(code int, files ...string) (sum imported, stderr string) {
	b.t.Helper()
	out, errs, got := b.run(append([]string{"import", "--output", "json"}, files...)...)
	if got != code {
		b.t.Fatalf("import: exit %d, want %d\n%s", got, code, errs)
	}
	if err := json.Unmarshal([]byte(out), &sum); err != nil {
		b.t.Fatalf("import: %v in %q", err, out)
	}
	return sum, errs
}

func TestImportReadsEveryKindOfFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	text := append(importLines(50), "\n{\"bizible_id\":\"x\",\"at\":\"yesterday\",\"url\":\"https://www.example.com/\"}\nnonsense\n"...)
	gz, zst := compress(t, text)
	plain := tempFile(t, "plain.ndjson", text)
	sum, errs := b.importJSON(exitDone, plain)
	if sum.Events != 50 || sum.Sessions != 50 || sum.Accepted != 100 || sum.Repeated != 0 || sum.Rejected != 2 || sum.Files != 1 {
		t.Errorf("plain: %+v", sum)
	}
	for _, said := range []string{plain + ":102: at: not an RFC 3339 time", plain + ":103: "} {
		if !strings.Contains(errs, said) {
			t.Errorf("stderr does not say %q:\n%s", said, errs)
		}
	}
	if strings.Contains(errs, "\r") {
		t.Errorf("a progress bar where there is no terminal: %q", errs)
	}
	for _, file := range []string{plain, tempFile(t, "x.gz", gz), tempFile(t, "x.zst", zst)} {
		if sum, _ := b.importJSON(exitDone, file); sum.Events != 50 || sum.Sessions != 50 || sum.Repeated != 100 || sum.Accepted != 0 {
			t.Errorf("%s, again: %+v", file, sum)
		}
	}
	c := b.command(t.Context(), "import", "-", "--output", "json")
	c.Stdin = bytes.NewReader(gz)
	out, err := c.Output()
	if err != nil || !strings.Contains(string(out), `"repeated":100`) {
		t.Errorf("standard input: %s %v", out, err)
	}
	for _, bad := range []string{"/nowhere/x.ndjson", t.TempDir(), tempFile(t, "torn.gz", gz[:len(gz)/2])} {
		if _, errs := b.importJSON(exitFailed, bad); !strings.Contains(errs, bad) {
			t.Errorf("the error does not name %s: %s", bad, errs)
		}
	}
	if _, errs := b.importJSON(exitFailed, tempFile(t, "nonsense", []byte("a\nb\n"))); !strings.Contains(errs, "no line could be read") {
		t.Errorf("nonsense: %s", errs)
	}
}

// What a full store did not take is counted, and is taken when there is room.
func TestImportSaysWhatWasNotStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := tempFile(t, "many.ndjson", importLines(80000))
	small := b.command(t.Context(), "import", file)
	small.Env = append(small.Env, "CALLPOINT_STORE_MAX_SIZE=16MiB")
	if out, err := small.CombinedOutput(); err == nil || !strings.Contains(string(out), " not stored: start it again with the same files") {
		t.Errorf("full: %v\n%s", err, out)
	}
	if out, _, code := b.run("import", file); code != exitDone || strings.Contains(out, "not stored") {
		t.Errorf("with room: exit %d\n%s", code, out)
	}
}

// A killed import goes on where it was: after a batch whose place was noted nothing is
// read twice, and after one whose place was not noted nothing is stored twice.
func TestImportResumesAfterAKill(t *testing.T) {
	t.Parallel()
	const n = 6000 // events, and as many sessions
	text := importLines(n)
	gz, _ := compress(t, text)
	for _, c := range []struct {
		name, step string
		content    []byte
		read       int // records that the second run reads
		repeated   int
	}{
		{"place-stored", "place-stored", text, 2*n - importBatch, 0},
		{"batch-stored", "batch-stored", text, 2 * n, importBatch},
		{"place-stored, compressed", "place-stored", gz, 2*n - importBatch, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "IMPORT_WINDOW=5000")
			file := tempFile(t, "x", c.content)
			env := b.env
			b.env = append(b.env, "CRASH_AT="+c.step)
			if _, errs, code := b.run("import", file); code != -1 {
				t.Fatalf("exit %d, want killed\n%s", code, errs)
			}
			b.env = env
			sum, errs := b.importJSON(exitDone, file)
			if got := sum.Events + sum.Sessions; got != c.read || sum.Repeated != c.repeated || sum.Rejected != 0 {
				t.Errorf("second run: %+v, want %d read and %d repeated", sum, c.read, c.repeated)
			}
			if said := strings.Contains(errs, "going on after line 5000"); said != (c.step == "place-stored") {
				t.Errorf("second run said %q", errs)
			}
			// The place is forgotten at the end: a third run reads all, and stores nothing.
			if sum, _ := b.importJSON(exitDone, file); sum.Repeated != 2*n || sum.Accepted != 0 {
				t.Errorf("third run: %+v", sum)
			}
			b.countEvents(n, n)
		})
	}
}

func (b *bench) countEvents(events, visits int) {
	b.t.Helper()
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	e, v := 0, 0
	if err := s.EachVisitor(func(j store.Journey) bool { e += len(j.Events); v += len(j.Visits); return true }); err != nil {
		b.t.Fatal(err)
	}
	if e != events || v != visits {
		b.t.Errorf("the store has %d events and %d visits, want %d and %d", e, v, events, visits)
	}
}

// A file of the same name with other content is no file to go on with.
func TestImportTellsAnotherFileOfTheSameName(t *testing.T) {
	t.Parallel()
	b := newBench(t, "IMPORT_WINDOW=5000")
	file := tempFile(t, "x", importLines(3000))
	env := b.env
	b.env = append(b.env, "CRASH_AT=place-stored")
	b.run("import", file)
	b.env = env
	if err := os.WriteFile(file, bytes.ReplaceAll(importLines(3000), []byte("www.example.com"), []byte("www.example.org")), 0o600); err != nil {
		t.Fatal(err)
	}
	if sum, errs := b.importJSON(exitDone, file); sum.Events != 3000 || strings.Contains(errs, "going on") {
		t.Errorf("%+v\n%s", sum, errs)
	}
}

// Beside a daemon the lines go to it.
func TestImportBesideTheDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_LISTEN=unix:"+filepath.Join(t.TempDir(), "s"), "CALLPOINT_TOKEN=secret")
	d := b.daemon()
	file := tempFile(t, "x", importLines(200))
	if sum, _ := b.importJSON(exitDone, file); sum.Accepted != 400 {
		t.Errorf("first: %+v", sum)
	}
	if sum, _ := b.importJSON(exitDone, file); sum.Repeated != 400 {
		t.Errorf("second: %+v", sum)
	}
	d.stop()
	b.countEvents(200, 200)
}

// What was killed beside the daemon goes on there, or without it, where it was.
func TestImportBesideTheDaemonResumesAfterAKill(t *testing.T) {
	t.Parallel()
	const n = 6000
	b := newBench(t, "CALLPOINT_LISTEN=unix:"+filepath.Join(t.TempDir(), "s"), "CALLPOINT_TOKEN=secret", "IMPORT_WINDOW=5000")
	d := b.daemon()
	file := tempFile(t, "x", importLines(n))
	env := b.env
	b.env = append(b.env, "CRASH_AT=place-stored")
	for part := 1; part <= 2; part++ {
		if _, errs, code := b.run("import", file); code != -1 {
			t.Fatalf("part %d: exit %d, want killed\n%s", part, code, errs)
		}
	}
	b.env = env
	d.stop()
	sum, errs := b.importJSON(exitDone, file)
	if sum.Events+sum.Sessions != 2*n-10000 || sum.Repeated != 0 || !strings.Contains(errs, "going on after line 10000") {
		t.Errorf("the last part: %+v\n%s", sum, errs)
	}
	if sum, errs := b.importJSON(exitDone, file); sum.Repeated != 2*n || strings.Contains(errs, "going on") {
		t.Errorf("again: %+v\n%s", sum, errs)
	}
	b.countEvents(n, n)
}

func TestProgressBar(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1000, 0} {
		for _, width := range []int{40, 60, 80, 200} {
			b := newProgress("sessions-of-the-whole-year-2026-with-a-long-name.ndjson.gz", size, width)
			b.SetCurrent(550)
			b.Set("lines", " 123456789 lines")
			line := b.String()
			if n := utf8.RuneCountInString(line); n > width || strings.ContainsAny(line, "\r\n\x1b") {
				t.Errorf("size %d, width %d: %d columns: %q", size, width, n, line)
			}
			if width >= 80 && (!strings.HasPrefix(line, "sessions-of-the-") || !strings.Contains(line, "123456789 lines") || size > 0 && !strings.Contains(line, "55.00%")) {
				t.Errorf("size %d, width %d: %q", size, width, line)
			}
		}
	}
}
