package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cheggaaa/pb/v3"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// place is how far a file has been imported.
type place struct {
	Line   int    `json:"line"`
	Offset int64  `json:"offset"` // bytes of its text, inflated
	Head   string `json:"head"`   // identifies the file: another one may have its name
}

// source is a file's text, inflated, that knows where its lines end.
type source struct {
	name   string
	file   *os.File
	size   int64 // of the file; 0: unknown
	raw    counter
	text   io.Reader
	stop   func()
	head   string
	plain  bool
	offset int64   // of text, as far as it was read
	ends   []int64 // where the lines after base end
	base   int     // lines before ends
}

// counter counts what is read of a file.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// headSize is the size of the part of a file that identifies it.
const headSize = 64 << 10

func openSource(name string) (*source, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, errors.Unwrap(err) // the caller adds the name
		}
	}
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		f.Close()
		return nil, errors.New("it is a directory")
	}
	s := &source{name: name, file: f, size: fileSize(f), raw: counter{r: f}, stop: func() {}}
	b := bufio.NewReaderSize(&s.raw, headSize)
	head, err := b.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, errors.Join(err, f.Close())
	}
	sum := sha256.Sum256(head[:min(len(head), 4096)])
	s.head = hex.EncodeToString(sum[:16])
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("gzip: %w", err), f.Close())
		}
		s.text = z
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("zstd: %w", err), f.Close())
		}
		s.text, s.stop = z, z.Close
	default:
		s.text, s.plain = b, true
	}
	return s, nil
}

// Read notes where lines end.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.text.Read(p)
	for i, part := 0, p[:n]; ; {
		j := bytes.IndexByte(part[i:], '\n')
		if j < 0 {
			break
		}
		i += j + 1
		s.ends = append(s.ends, s.offset+int64(i))
	}
	s.offset += int64(n)
	return n, err
}

// place is after a line, counted from where the reading began.
func (s *source) place(began place, line int) place {
	if drop := line - s.base - 1; drop > 0 {
		s.ends = append(s.ends[:0], s.ends[drop:]...)
		s.base += drop
	}
	at := place{Line: began.Line + line, Head: s.head}
	if len(s.ends) > 0 {
		at.Offset = s.ends[0]
	} else {
		at.Offset = s.offset // the last line has no end
	}
	return at
}

// skip goes to a place: at once in a plain file, by inflating in a compressed one.
func (s *source) skip(offset int64) error {
	if s.plain && s.size > 0 {
		if s.size < offset {
			return io.ErrUnexpectedEOF
		}
		if _, err := s.file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		s.raw.n = offset
		s.text = bufio.NewReaderSize(&s.raw, headSize)
	} else if _, err := io.CopyN(io.Discard, s.text, offset); err != nil {
		return err
	}
	s.offset = offset
	return nil
}

const placePrefix = "import "

// state is the name under which the store keeps the place.
func (s *source) state() string {
	name := s.name
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	sum := sha256.Sum256([]byte(name))
	return placePrefix + hex.EncodeToString(sum[:16])
}

func (s *source) Close() error {
	s.stop()
	return s.file.Close()
}

// bar shows how far an import is, on a terminal alone.
type bar struct {
	out   *os.File // nil: not shown
	bar   *pb.ProgressBar
	last  time.Time
	calls int
}

func (p *program) newBar(name string, s *source, at place) *bar {
	b := &bar{}
	f, ok := fileOf(p.stderr)
	if !ok || !isTerminal(f) {
		return b
	}
	b.out = f
	b.bar = newProgress(filepath.Base(name), s.size, terminalWidth(f))
	if s.plain {
		b.bar.SetCurrent(at.Offset)
	}
	return b
}

// newProgress returns a bar of at most width columns. A size of 0 is unknown.
func newProgress(name string, size int64, width int) *pb.ProgressBar {
	form := `{{string . "name"}} {{bar . "[" "=" ">" " " "]"}} {{percent .}}{{string . "lines"}} {{rtime . "%s left" "%s" "?"}}`
	if size == 0 {
		form = `{{string . "name"}} {{counters .}}{{string . "lines"}} {{etime .}}`
	}
	b := pb.New64(size).SetTemplateString(form)
	b.Set(pb.Bytes, true).Set(pb.Static, true).Set(pb.Terminal, true).SetWidth(width).Set("name", cut(plain(name), max(narrowest, width/4)))
	return b.Start()
}

// show draws the bar, at most ten times a second.
func (b *bar) show(s *source, sum imported) {
	if b.out == nil {
		return
	}
	if b.calls++; b.calls%256 != 0 {
		return
	}
	now := time.Now()
	if now.Sub(b.last) < 100*time.Millisecond {
		return
	}
	b.last = now
	b.bar.SetCurrent(s.raw.n)
	b.bar.Set("lines", fmt.Sprintf(" %d lines", sum.Lines))
	fmt.Fprintf(b.out, "\r\x1b[K%s", b.bar.String())
}

// clear makes room for another line.
func (b *bar) clear() {
	if b.out != nil {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

func (b *bar) end() { b.clear() }

// fileSize is 0 where it is not known.
func fileSize(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return 0
	}
	return fi.Size()
}
