package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callpoint/store"
	"callpoint/sync/collector"
)

// importBatch and importBytes bound one transaction.
const (
	importBatch = 5000
	importBytes = 4 << 20
	// maxReported is the number of rejected lines of a file that are reported one by one.
	maxReported = 100
)

// importWindow is how many records are brought into order before they are stored, and so
// how many a killed import reads again at most.
var importWindow = 1 << 20

// importer reads files into a sink.
type importer struct {
	p      *program
	cfg    collector.Config
	to     sink
	beside string // the store's path: the spool goes to its disk
	began  time.Time
	sum    imported

	rows  []store.Row // the batch
	bytes int
	spool *importSpool // nil as long as one batch takes it all
	under chan stored  // the batch that is being stored; nil: none
}

// stored is what became of a batch.
type stored struct {
	rows, repeated int
	err            error
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

// close waits for the batch that is being stored, and lets go of the spool.
func (im *importer) close() error {
	err := im.wait()
	if im.spool != nil {
		err = errors.Join(err, im.spool.close())
	}
	return err
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
	rejected := 0
	for rec, err := range collector.ReadNDJSON(src, im.cfg) {
		if err != nil {
			return fmt.Errorf("after line %d: %w", at.Line+rec.Line, err)
		}
		if rec.Err != nil {
			if rejected++; rejected <= maxReported {
				bar.clear()
				fmt.Fprintf(im.p.stderr, "%s:%d: %v\n", name, at.Line+rec.Line, rec.Err)
			}
		}
		if err := im.take(rec); err != nil {
			return err
		}
		if err := im.keep(ctx, src, at, rec.Line); err != nil {
			return err
		}
		bar.show(src, im.sum)
	}
	if err := im.settle(ctx); err != nil {
		return err
	}
	if rejected > maxReported {
		fmt.Fprintf(im.p.stderr, "%s: %d more lines were rejected\n", name, rejected-maxReported)
	}
	return im.done(ctx, src)
}

// take counts a line, and encodes its record.
func (im *importer) take(rec collector.Record) (err error) {
	im.sum.Lines++
	var row store.Row
	switch {
	case rec.Err != nil:
		im.sum.Rejected++
		return nil
	case rec.Bot != "":
		im.sum.Bots++
		return nil
	case rec.Event != nil:
		im.sum.Events++
		row, err = store.EventRow(rec.Event)
	default:
		im.sum.Sessions++
		row, err = store.VisitRow(rec.Visit)
	}
	if err != nil {
		return err
	}
	return im.put(row)
}

// put adds a row to the spool. What fits into one batch needs none.
func (im *importer) put(row store.Row) (err error) {
	if im.spool != nil {
		return im.spool.add(row)
	}
	if im.add(row); !im.full() {
		return nil
	}
	if im.spool, err = openSpool(im.beside); err != nil {
		return err
	}
	for _, r := range im.rows {
		if err := im.spool.add(r); err != nil {
			return err
		}
	}
	im.rows, im.bytes = nil, 0
	return nil
}

func (im *importer) add(row store.Row) {
	im.rows = append(im.rows, row)
	im.bytes += row.Size()
}

func (im *importer) full() bool { return len(im.rows) >= importBatch || im.bytes >= importBytes }

// keep stores a full spool. Then it notes how far that is: a crash before costs records
// that are read again, and found to be there.
func (im *importer) keep(ctx context.Context, src *source, at place, line int) error {
	if err := stopped(ctx); err != nil || im.spool == nil || im.spool.rows < importWindow {
		return err
	}
	if err := im.settle(ctx); err != nil {
		return err
	}
	if src.name == "-" {
		return nil
	}
	err := im.to.SetState(ctx, src.state(), src.place(at, line))
	step("place-stored")
	return err
}

// settle stores all that was read.
func (im *importer) settle(ctx context.Context) error {
	if im.spool != nil {
		err := im.spool.drain(func(row store.Row) error {
			if im.add(row); im.full() {
				return im.flush(ctx)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(im.flush(ctx), im.wait())
}

// flush begins to store the batch. Meanwhile the next one may be put together.
func (im *importer) flush(ctx context.Context) error {
	if err := im.wait(); err != nil || len(im.rows) == 0 {
		return err
	}
	if err := stopped(ctx); err != nil {
		return err
	}
	rows, done := im.rows, make(chan stored, 1)
	im.rows, im.bytes, im.under = nil, 0, done
	go func() {
		repeated, err := im.to.AddRows(ctx, rows)
		done <- stored{len(rows), repeated, err}
	}()
	return nil
}

// wait counts the batch that is being stored, once it is.
func (im *importer) wait() error {
	if im.under == nil {
		return nil
	}
	did := <-im.under
	im.under = nil
	if did.err != nil {
		return did.err
	}
	im.sum.Repeated += did.repeated
	im.sum.Accepted += did.rows - did.repeated
	step("batch-stored")
	return nil
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
	if src.name == "-" {
		return at, nil
	}
	ok, err := im.to.State(src.state(), &at)
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
	if src.name == "-" {
		return nil
	}
	return im.to.DropState(ctx, src.state())
}
