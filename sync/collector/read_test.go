package collector

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func fileConfig() Config { return Config{Now: func() time.Time { return noon }} }

// summary reads a file and returns its content in one line.
func summary(r io.Reader) string {
	var b strings.Builder
	for rec, err := range ReadNDJSON(r, fileConfig()) {
		switch {
		case err != nil:
			fmt.Fprintf(&b, "broken: %v ", err)
		case rec.Err != nil:
			key := "rejected"
			if re, ok := errors.AsType[*RecordError](rec.Err); ok && re.Key != "" {
				key = re.Key
			}
			fmt.Fprintf(&b, "%d:%s ", rec.Line, key)
		case rec.Bot != "":
			fmt.Fprintf(&b, "%d:%s ", rec.Line, rec.Bot)
		case rec.Event != nil:
			fmt.Fprintf(&b, "%d:event#%d ", rec.Line, rec.Event.Sequence)
		case rec.Visit != nil:
			fmt.Fprintf(&b, "%d:session#%d ", rec.Line, rec.Visit.PageViews)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestReadNDJSON(t *testing.T) {
	t.Parallel()
	lines := view("sequence", "1") + "\n\n" + sessionLine() + "\nnonsense\r\n" + view("user_agent", `"Googlebot/2.1"`) + "\n" + sessionLine("session_id", "") + "\n" + sessionLine("started_at", "") + "\n" + view("sequence", "2")
	const want = "1:event#1 3:session#3 4:rejected 5:crawler 6:session_id 7:started_at 8:event#2"
	for name, text := range map[string]string{
		"plain": lines, "with a line break at the end": lines + "\n", "gzip": gzipped(lines), "zstd": zstded(lines),
		"two gzip members": gzipped(lines[:100]) + gzipped(lines[100:]), "byte-order mark": "\ufeff" + lines,
	} {
		if got := summary(strings.NewReader(text)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		if got := summary(iotest.OneByteReader(strings.NewReader(text))); got != want {
			t.Errorf("%s, byte by byte:\n got %s\nwant %s", name, got, want)
		}
	}
	if got := summary(strings.NewReader("")); got != "" {
		t.Errorf("empty file: %s", got)
	}
	if got := summary(strings.NewReader("x")); got != "1:rejected" {
		t.Errorf("file of one byte: %s", got)
	}
}

func TestReadNDJSONLongLines(t *testing.T) {
	t.Parallel()
	fits := view("x", quote(strings.Repeat("a", 200<<10)))
	long := view("x", quote(strings.Repeat("a", 300<<10)))
	for _, text := range []string{
		view() + "\n" + long + "\n" + fits + "\n" + view(),
		view() + "\n" + strings.Repeat("a", 5<<20) + "\n" + fits + "\n" + view() + "\n",
	} {
		if got, want := summary(strings.NewReader(text)), "1:event#0 2:rejected 3:event#0 4:event#0"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := summary(strings.NewReader(long)); got != "1:rejected" {
		t.Errorf("last line: %s", got)
	}
}

// A file that breaks off is reported once, after everything that could be read.
func TestReadNDJSONBrokenFiles(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(view()+"\n", 10000)
	for name, r := range map[string]io.Reader{
		"gzip cut short": strings.NewReader(gzipped(many)[:2000]),
		"zstd cut short": strings.NewReader(zstded(many)[:200]),
		"read error":     io.MultiReader(strings.NewReader(view()+"\n"), iotest.ErrReader(errors.New("disk gone"))),
		"gzip magic":     strings.NewReader("\x1f\x8b"),
		"read error now": iotest.ErrReader(errors.New("disk gone")),
	} {
		broken := 0
		for rec, err := range ReadNDJSON(r, fileConfig()) {
			if err != nil {
				broken++
			} else if broken > 0 {
				t.Errorf("%s: line %d came after the error", name, rec.Line)
			}
		}
		if broken != 1 {
			t.Errorf("%s: %d errors", name, broken)
		}
	}
}

func TestReadNDJSONStopsWhenAsked(t *testing.T) {
	t.Parallel()
	n := 0
	for range ReadNDJSON(strings.NewReader(zstded(strings.Repeat(view()+"\n", 100))), fileConfig()) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d records", n)
	}
}

// Lines are decoded on every core, and come in their order all the same: before the error
// that ends the file, and as far as the caller wants them.
func TestReadKeepsTheOrderOfLines(t *testing.T) {
	t.Parallel()
	const n = 5000
	text := repeat(n, func(i int) string {
		switch i % 10 {
		case 3:
			return sessionLine("page_views", fmt.Sprint(i))
		case 7:
			return "nonsense"
		}
		return view("sequence", fmt.Sprint(i))
	})
	torn := errors.New("torn")
	line := 0
	var end error
	for rec, err := range ReadNDJSON(io.MultiReader(strings.NewReader(text), iotest.ErrReader(torn)), fileConfig()) {
		if end = err; err != nil {
			break
		}
		line++
		i := line - 1
		ok := rec.Event != nil && rec.Event.Sequence == int64(i)
		switch i % 10 {
		case 3:
			ok = rec.Visit != nil && rec.Visit.PageViews == i
		case 7:
			ok = rec.Err != nil
		}
		if !ok || rec.Line != line {
			t.Fatalf("line %d: %+v", line, rec)
		}
	}
	if line != n || !errors.Is(end, torn) {
		t.Errorf("%d lines, then %v", line, end)
	}
	for rec := range ReadNDJSON(strings.NewReader(text), fileConfig()) {
		if rec.Line == 2 {
			break // goleak sees what would go on
		}
	}
}
