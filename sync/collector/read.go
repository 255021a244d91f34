package collector

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"callpoint/mapping"
)

// Record is one line of a file: an event, a session, a bot's, or refused.
type Record struct {
	Line  int
	Event *mapping.Event
	Visit *mapping.Visit
	Bot   string // why the record was dropped as a bot's
	Err   error  // a *RecordError
}

// ReadNDJSON reads events and sessions from a file, one JSON object a line; a line with a
// session_id or a started_at is a session. gzip and zstd are recognised by their first
// bytes. The second value is an error of the file itself, and the last thing that comes.
// Of cfg it needs Now, Retention, Scrub, Geo and MaxRecord; Geo is called from several
// goroutines, because lines are decoded on every core while the caller is at work.
func ReadNDJSON(r io.Reader, cfg Config) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		cfg := cfg.withDefaults()
		text, closeText, err := plain(r)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer closeText()
		d, s := newDecoder(cfg), newLines(text, cfg.MaxRecord)
		defer s.close()
		var ahead []*chunk // the oldest first
		defer func() {
			for _, c := range ahead {
				<-c.done
			}
		}()
		for more := true; more || len(ahead) > 0; {
			for more && len(ahead) <= runtime.GOMAXPROCS(0) {
				c := readChunk(s)
				more = c.err == nil
				ahead = append(ahead, c)
				go c.decode(d)
			}
			c := ahead[0]
			<-c.done
			ahead = ahead[1:]
			for _, rec := range c.records {
				if !yield(rec, nil) {
					return
				}
			}
			if c.err != nil && c.err != io.EOF {
				yield(Record{Line: s.line}, fmt.Errorf("line %d: %w", s.line, c.err))
				return
			}
		}
	}
}

// A chunk is some lines that are decoded together.
type chunk struct {
	text    []byte
	ends    []int // of the lines in text
	records []Record
	err     error // what ended the file after these lines; io.EOF: its end
	done    chan struct{}
}

const chunkSize = 128 << 10

func readChunk(s *splitter) *chunk {
	c := &chunk{text: make([]byte, 0, chunkSize+chunkSize/8), done: make(chan struct{})}
	for len(c.text) < chunkSize && len(c.records) < 1000 {
		line, err := s.next()
		rec := Record{Line: s.line}
		if skip, ok := errors.AsType[errSkip](err); ok {
			rec.Err, line = skip.err, nil
		} else if err != nil {
			c.err = err
			break
		}
		c.text = append(c.text, line...)
		c.ends = append(c.ends, len(c.text))
		c.records = append(c.records, rec)
	}
	return c
}

// decode parses the lines.
func (c *chunk) decode(d *decoder) {
	defer close(c.done)
	text, from := string(c.text), 0
	event, visit := new(mapping.Event), new(mapping.Visit)
	for i := range c.records {
		rec, line := &c.records[i], text[from:c.ends[i]]
		from = c.ends[i]
		if rec.Err != nil {
			continue
		}
		rec.Event, rec.Visit, rec.Bot, rec.Err = d.record(line, anyLines, event, visit)
		if rec.Event != nil {
			event = new(mapping.Event)
		}
		if rec.Visit != nil {
			visit = new(mapping.Visit)
		}
	}
}

// record decodes one line into event or visit, and returns which of the two it was.
func (d *decoder) record(line string, want lines, event *mapping.Event, visit *mapping.Visit) (e *mapping.Event, v *mapping.Visit, bot string, err error) {
	var r raw
	if err := r.parse(line, want); err != nil {
		return nil, nil, "", err
	}
	if want == visitLines || want == anyLines && (r.session != "" || r.started != "") {
		if *visit, err = d.visit(&r); err != nil {
			return nil, nil, "", err
		}
		v = visit
	} else {
		var at time.Time
		if r.visitor != "" { // else that is what is missing first
			if at, err = parseTime("at", r.at); err != nil {
				return nil, nil, "", err
			}
		}
		if *event, err = d.event(&r, at); err != nil {
			return nil, nil, "", err
		}
		e = event
	}
	if bot = d.bots.reason(r.agent); bot != "" {
		return nil, nil, bot, nil
	}
	return e, v, "", nil
}

// A file may need a larger window than a request: zstd --long is common for logs.
const maxFileWindow = 128 << 20

// plain undoes gzip or zstd if r begins with their magic bytes.
func plain(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, peekSize)
	head, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return z, func() { z.Close() }, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxFileWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}
