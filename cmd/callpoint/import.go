package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/collector"

	"github.com/spf13/cobra"
)

func (p *program) importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE...",
		Short: "Read events and sessions from files of any size",
		Long: `import reads files of one JSON object a line: events as POST /v1/events takes them, or
sessions as POST /v1/sessions does; a line with a session_id is a session. - is standard
input. gzip and zstd are recognised by their first bytes.

A line that is refused is told with file and number, and costs no other line. What stands
in the store already is not stored twice, so a file may be read again. An import that was
stopped goes on near where it was when it is started again with the same file: at most a
million records are read twice.

Where the daemon runs, the lines are sent to it; a stopped import then begins anew.`,
		Example: `  callpoint import sessions-2026-11.ndjson.gz
  zcat /var/log/site/*.gz | callpoint import -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.importFiles(cmd.Context(), args) },
	}
}

// imported is the summary of an import.
type imported struct {
	Files    int     `json:"files"`
	Lines    int     `json:"lines"`
	Events   int     `json:"events"`
	Sessions int     `json:"sessions"`
	Accepted int     `json:"accepted"` // of these, new to the store
	Repeated int     `json:"repeated"`
	Bots     int     `json:"bots"`
	Rejected int     `json:"rejected"`
	Seconds  float64 `json:"duration_seconds"`
}

func (i imported) String() string {
	rate := float64(i.Events+i.Sessions) / max(i.Seconds, 0.001)
	return fmt.Sprintf("%d events and %d sessions in %d lines: %d new, %d known already; %d of bots, %d rejected; %.1f s, %.0f a second",
		i.Events, i.Sessions, i.Lines, i.Accepted, i.Repeated, i.Bots, i.Rejected, i.Seconds, rate)
}

// importBatch and importBytes bound one transaction.
const (
	importBatch = 5000
	importBytes = 4 << 20
	// maxTold is how many refused lines of a file are told one by one.
	maxTold = 100
)

// importWindow is how many records are brought into order before they are stored, and so
// how many a killed import reads again at most.
var importWindow = 1 << 20

// a sink is where an import goes: the store, or the daemon that has it.
type sink interface {
	Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error)
}

func (p *program) importFiles(ctx context.Context, names []string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	s, err := store.Open(c.Store, c.storeOptions())
	var to sink = s
	if errors.Is(err, store.ErrInUse) {
		running, derr := p.daemonCall(ctx, c, http.MethodGet, "/livez", nil, nil)
		if !running {
			return failed(errors.Join(err, derr))
		}
		to, s = &daemonSink{p, c}, nil
	} else if err != nil {
		return failed(err)
	} else {
		// A batch is garbage as soon as it is stored; the pages of the store belong to the
		// kernel's cache. Without a limit the heap would double before it is looked through.
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(40 << 20))
	}
	cfg := collector.Config{Retention: c.Retention}
	if c.GeoIP != "" {
		geo, err := openGeoIP(c.GeoIP)
		if err != nil {
			return failed(err)
		}
		defer geo.close()
		cfg.Geo = geo.lookup
	}
	im := &importer{p: p, cfg: cfg, to: to, store: s, dir: c.Store, began: time.Now()}
	err = im.files(ctx, names)
	if im.spool != nil {
		err = errors.Join(err, im.spool.close())
	}
	if s != nil {
		err = errors.Join(err, s.Close())
	}
	im.sum.Seconds = time.Since(im.began).Seconds()
	if perr := p.print(im.sum); perr != nil {
		err = errors.Join(err, perr)
	}
	switch {
	case err != nil:
		return failed(err)
	case im.sum.Events+im.sum.Sessions+im.sum.Bots == 0 && im.sum.Lines > 0:
		return failed(errors.New("no line could be read"))
	}
	return nil
}

// importer reads files into a sink.
type importer struct {
	p     *program
	cfg   collector.Config
	to    sink
	store *store.Store // for the place where an import stopped; nil where the daemon has it
	began time.Time
	sum   imported

	events []mapping.Event
	visits []mapping.Visit
	bytes  int
	dir    string // beside the store, for the spool
	spool  *spool // nil as long as one batch takes it all
}

func (im *importer) files(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := im.file(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		im.sum.Files++
	}
	return nil
}

func (im *importer) file(ctx context.Context, name string) (err error) {
	src, err := openSource(name)
	if err != nil {
		return err
	}
	defer src.Close()
	at, err := im.resume(src)
	if err != nil {
		return err
	}
	bar := im.p.newBar(name, src, at)
	defer bar.end()
	told := 0
	for rec, err := range collector.ReadNDJSON(src, im.cfg) {
		if err != nil {
			return fmt.Errorf("after line %d: %w", at.Line+rec.Line, err)
		}
		im.sum.Lines++
		switch {
		case rec.Err != nil:
			im.sum.Rejected++
			if told++; told <= maxTold {
				bar.clear()
				fmt.Fprintf(im.p.stderr, "%s:%d: %v\n", name, at.Line+rec.Line, rec.Err)
			}
		case rec.Bot != "":
			im.sum.Bots++
		case rec.Event != nil:
			im.sum.Events++
			im.take(rec)
		default:
			im.sum.Sessions++
			im.take(rec)
		}
		if err := im.keep(ctx, src, at, rec.Line); err != nil {
			return err
		}
		bar.show(src, im.sum)
	}
	if err := im.settle(ctx); err != nil {
		return err
	}
	if told > maxTold {
		fmt.Fprintf(im.p.stderr, "%s: %d more lines were rejected\n", name, told-maxTold)
	}
	return im.done(ctx, src)
}

// take puts a record into the batch.
func (im *importer) take(rec collector.Record) {
	if rec.Event != nil {
		im.events = append(im.events, *rec.Event)
		im.bytes += len(rec.Event.URL) + len(rec.Event.Referrer) + 256
		return
	}
	im.visits = append(im.visits, *rec.Visit)
	im.bytes += len(rec.Visit.LandingPage) + len(rec.Visit.Referrer) + 256
}

func (im *importer) full() bool {
	return len(im.events)+len(im.visits) >= importBatch || im.bytes >= importBytes
}

// keep puts a full batch into the spool, and stores a full spool. Then it notes how far
// that is: a crash before costs records that are read again, and found to be there.
func (im *importer) keep(ctx context.Context, src *source, at place, line int) error {
	if !im.full() {
		return nil
	}
	if im.spool == nil {
		var err error
		if im.spool, err = openSpool(im.dir); err != nil {
			return err
		}
	}
	if err := im.toSpool(); err != nil {
		return err
	}
	if err := stopped(ctx); err != nil || im.spool.rows < importWindow {
		return err
	}
	if err := im.settle(ctx); err != nil {
		return err
	}
	if im.store == nil || src.name == "-" {
		return nil
	}
	err := im.store.SetState(ctx, src.state(), src.place(at, line))
	step("place-stored")
	return err
}

func (im *importer) toSpool() error {
	for i := range im.events {
		if err := im.spool.add(im.events[i].Visitor, &im.events[i]); err != nil {
			return err
		}
	}
	for i := range im.visits {
		if err := im.spool.add(im.visits[i].Visitor, &im.visits[i]); err != nil {
			return err
		}
	}
	im.drop()
	return nil
}

// settle stores all that was read.
func (im *importer) settle(ctx context.Context) error {
	if im.spool == nil || im.spool.rows == 0 {
		return im.flush(ctx)
	}
	if err := im.toSpool(); err != nil {
		return err
	}
	err := im.spool.drain(func(r io.Reader) error {
		for rec, err := range collector.ReadNDJSON(r, im.cfg) {
			if err != nil {
				return err
			}
			if rec.Event == nil && rec.Visit == nil {
				im.sum.Rejected++ // it fell out of the retention meanwhile
				continue
			}
			if im.take(rec); im.full() {
				if err := im.flush(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return im.flush(ctx)
}

// flush stores the batch.
func (im *importer) flush(ctx context.Context) error {
	if err := stopped(ctx); err != nil {
		return err
	}
	if n := len(im.events) + len(im.visits); n > 0 {
		repeated, err := im.to.Add(ctx, im.events, im.visits)
		if err != nil {
			return err
		}
		im.sum.Repeated += repeated
		im.sum.Accepted += n - repeated
	}
	im.drop()
	step("batch-stored")
	return nil
}

// drop empties the batch; the records let go of the lines that they were read from.
func (im *importer) drop() {
	clear(im.events)
	clear(im.visits)
	im.events, im.visits, im.bytes = im.events[:0], im.visits[:0], 0
}

func stopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("stopped; start it again with the same files, and it goes on")
	}
	return nil
}

// step lets tests crash here.
func step(name string) {
	if testOnlyAtStep != nil {
		testOnlyAtStep(name)
	}
}

// resume finds the place where an earlier import of the file stopped.
func (im *importer) resume(src *source) (at place, err error) {
	if im.store == nil || src.name == "-" {
		return at, nil
	}
	ok, err := im.store.State(src.state(), &at)
	if err != nil || !ok || at.Line == 0 {
		return place{}, err
	}
	if at.Head != src.head {
		return place{}, nil // another file has the name now
	}
	if err := src.skip(at.Offset); err != nil {
		return place{}, nil
	}
	fmt.Fprintf(im.p.stderr, "%s: going on after line %d, where an earlier import stopped\n", src.name, at.Line)
	return at, nil
}

// done forgets the place: a file that is imported again is read again.
func (im *importer) done(ctx context.Context, src *source) error {
	if im.store == nil || src.name == "-" {
		return nil
	}
	return im.store.DropState(ctx, src.state())
}

// daemonSink sends batches to the daemon as its collector takes them.
type daemonSink struct {
	p *program
	c Config
}

func (d *daemonSink) Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error) {
	for _, part := range []struct {
		path string
		n    int
		body func(*json.Encoder) error
	}{
		{"/v1/events", len(events), func(e *json.Encoder) error { return encodeAll(e, events) }},
		{"/v1/sessions", len(visits), func(e *json.Encoder) error { return encodeAll(e, visits) }},
	} {
		if part.n == 0 {
			continue
		}
		var body bytes.Buffer
		e := json.NewEncoder(&body)
		e.SetEscapeHTML(false)
		if err := part.body(e); err != nil {
			return repeated, err
		}
		var a struct {
			Accepted, Repeated int
			Rejected           []struct{ Error string }
		}
		running, err := d.p.daemonCall(ctx, d.c, http.MethodPost, part.path, &body, &a)
		switch {
		case err != nil:
			return repeated, err
		case !running:
			return repeated, errors.New("the daemon has stopped; start the import again")
		case a.Accepted+a.Repeated != part.n:
			return repeated, fmt.Errorf("the daemon took %d of %d lines: %v", a.Accepted+a.Repeated, part.n, a.Rejected)
		}
		repeated += a.Repeated
	}
	return repeated, nil
}

func encodeAll[T any](e *json.Encoder, all []T) error {
	for _, v := range all {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// absolute is the name by which the place in a file is remembered.
func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// fileSize is 0 where it is not known.
func fileSize(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return 0
	}
	return fi.Size()
}
