package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// restarts bounds how often one poll begins anew because the org lost its place.
	restarts = 5
	// minWindow is the narrowest span that a query is cut down to.
	minWindow = time.Minute
	// widenAfter is how many spans must go well before wider ones are tried again.
	widenAfter = 16
)

// A reader is one poll of a source.
type reader struct {
	src    *source
	cursor store.Cursor
	from   time.Time // where the present span begins; the cursor stays the overlap behind
	seen   time.Time // what is stamped before was read by an earlier poll, unless it came late
	asked  time.Time // the org's time when the poll began
	first  bool      // no cursor is stored yet
	good   int       // spans in a row that went well
	pace   pace
}

// pollSource reads every row that changed since the source's cursor, page by page. The
// cursor moves with each page, so that a first run of months goes on where it was stopped.
func (e *Engine) pollSource(ctx context.Context, src *source, w *writer) error {
	cursor, ok, err := e.cfg.Store.CursorOf(src.key())
	if err != nil {
		return err
	}
	if !ok {
		start := e.startTime()
		cursor = store.Cursor{Since: start, Start: start, Source: src.key()}
	}
	r := &reader{src: src, cursor: cursor, first: !ok, from: cursor.Since, seen: cursor.Read, pace: pace{began: e.cfg.Now(), log: e.cfg.Log, now: e.cfg.Now}}
	for tries := 0; ; {
		more, err := e.readSpan(ctx, r, w)
		switch class := classOf(err); {
		case err == nil && !more && e.widenStart(r):
		case err == nil && !more:
			r.src.window = 0 // what changes between two polls is little
			return nil
		case err == nil:
			e.widen(r)
		case class == salesforce.RestartQuery && tries < restarts:
			tries++
			r.from = r.cursor.Since
			e.cfg.Log.Info("the pages of a query were lost: reading on from the cursor", "cursor", r.cursor.Since, "err", err)
		case class == salesforce.NarrowQuery && e.narrow(r):
			e.cfg.Log.Warn("query is too large for the org: reading a shorter span", "span", r.src.window, "err", err)
		default:
			if class == salesforce.StopClass {
				e.forgetSchema()
			}
			return fmt.Errorf("poll: %w", err)
		}
	}
}

// narrow halves the span of a query; false means that it is as short as it gets.
func (e *Engine) narrow(r *reader) bool {
	if r.src.window == 0 {
		r.src.window = e.now().Sub(r.from)
	}
	if r.src.window <= minWindow {
		return false
	}
	r.src.window, r.good = max(minWindow, r.src.window/2), 0
	return true
}

// widen tries a longer span again once enough of the present ones went well.
func (e *Engine) widen(r *reader) {
	if r.good++; r.good >= widenAfter {
		r.src.window, r.good = 2*r.src.window, 0
	}
}

// readSpan reads from r.from to now, or to the end of a narrowed span; more means that
// there is another one to read.
func (e *Engine) readSpan(ctx context.Context, r *reader, w *writer) (more bool, err error) {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()      // of a page that is not wanted any more
	var until time.Time // zero: now
	if r.src.window > 0 && r.from.Add(r.src.window).Before(e.now()) {
		until = r.from.Add(r.src.window).Truncate(time.Second)
	}
	began := e.cfg.Now()
	page, err := e.firstPage(ctx, r, until, w.summary)
	if err != nil {
		return false, err
	}
	w.read = true
	e.cfg.Clock.SetDate(page.ServerTime, began)
	if r.asked.IsZero() {
		// A row may have come late to any of the spans.
		r.asked = e.cfg.Clock.Bound(page.ServerTime, began)
	}
	// The first cursor holds the start, which stays for good.
	if err := e.cfg.Clock.Doubt(); err != nil && r.first {
		return false, err
	}
	asked := trail{}
	for {
		var next *nextPage
		if page.Next != "" {
			next = e.ask(reading, asked, page.Next, w)
		}
		if err := e.applyPage(ctx, r, page, until, w.summary); err != nil {
			return false, err
		}
		if err := e.findNames(ctx, w); away(err) {
			return false, err // any other failure shows again when all is read
		}
		r.pace.tell(len(page.Records), page, until.IsZero())
		if next == nil {
			r.from = until
			return !until.IsZero(), nil
		}
		if err := e.resolve(ctx, w); err != nil {
			return false, err
		}
		if page, err = next.wait(ctx, w); err != nil {
			return false, err
		}
	}
}

// A nextPage is on its way while the one before it is stored and resolved.
type nextPage struct {
	page salesforce.Page
	err  error
	here bool
}

func (e *Engine) ask(ctx context.Context, asked trail, next string, w *writer) *nextPage {
	n := &nextPage{}
	w.start(func() func() {
		page, err := asked.page(ctx, e.cfg.Org, next)
		return func() { n.page, n.err, n.here = page, err, true }
	})
	return n
}

// wait keeps the writing going until the page is there.
func (n *nextPage) wait(ctx context.Context, w *writer) (salesforce.Page, error) {
	for !n.here {
		w.next()
		w.keepUp(ctx)
	}
	return n.page, n.err
}

// firstPage begins a span. The same call asks for Tasks that the filter no longer fits:
// one whose BizibleId was cleared would otherwise never be heard of again.
func (e *Engine) firstPage(ctx context.Context, r *reader, until time.Time, s *Summary) (salesforce.Page, error) {
	soqls := []string{e.rowQuery(r, until)}
	if r.seen.IsZero() || !until.IsZero() || r.src.conf != nil && r.src.conf.Filter == "" {
		return e.cfg.Org.Query(ctx, soqls[0], salesforce.QueryOptions{All: true})
	}
	soqls = append(soqls, e.leftQuery(r))
	pages, err := e.cfg.Org.QueryMany(ctx, soqls, salesforce.QueryOptions{All: true})
	if len(pages) != len(soqls) || !pages[0].Done && pages[0].Next == "" {
		return salesforce.Page{}, firstError(err)
	}
	// The filter is the operator's: its opposite may be more than the org bears.
	return pages[0], e.readLeft(ctx, r, pages[1], err, s)
}

// firstError is the first of joined errors: that of the query that matters.
func firstError(err error) error {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		return many.Unwrap()[0]
	}
	return err
}

// rowQuery asks for rows in the order of their stamps. Stamps are whole seconds and
// shared by many rows, so the bound is inclusive.
func (e *Engine) rowQuery(r *reader, until time.Time) string {
	var q strings.Builder
	fmt.Fprintf(&q, "SELECT %s FROM %s WHERE (%s) AND CreatedDate >= %s AND SystemModstamp >= %s",
		e.queryFields(r.src), r.src.object(), e.filter(r.src),
		salesforce.DateTime(r.cursor.Start), salesforce.DateTime(r.from))
	if !until.IsZero() {
		fmt.Fprintf(&q, " AND SystemModstamp < %s", salesforce.DateTime(until))
	}
	q.WriteString(" ORDER BY SystemModstamp, Id")
	return q.String()
}

// applyPage stores a page and moves the cursor over it, in one transaction. Rows are
// ordered by their stamps, so after a page all before its last row was read; but a row
// may become visible up to the overlap after its stamp, so the cursor stays that far
// behind the query. While the clocks disagree it does not move.
func (e *Engine) applyPage(ctx context.Context, r *reader, page salesforce.Page, until time.Time, s *Summary) error {
	var late, calls []store.Call
	for _, record := range page.Records {
		call, err := e.readRow(r.src, record)
		if err != nil {
			return err
		}
		if stamp, ok := stampOf(record); ok && stamp.Before(r.seen) {
			late = append(late, call)
		} else {
			calls = append(calls, call)
		}
	}
	was := r.cursor
	behind := r.asked.Add(-e.cfg.Overlap)
	to := behind
	if page.Next != "" && len(page.Records) > 0 {
		var ok bool
		if to, ok = stampOf(page.Records[len(page.Records)-1]); !ok {
			to = r.cursor.Since
		}
	} else if !until.IsZero() {
		to = until
	} else {
		r.cursor.Read = r.asked.Truncate(time.Second)
	}
	if to.After(behind) {
		to = behind
	}
	next := r.cursor
	if to = to.Truncate(time.Second); to.After(next.Since) {
		next.Since = to
	}
	if e.cfg.Clock.Doubt() != nil {
		r.cursor, next = was, was // the rows count; they are read again once the clocks agree
	}
	e.step("page-read")
	// What a poll reads again is mostly known; what is not known of it came late.
	found, err := 0, error(nil)
	if len(late) > 0 {
		if len(calls) == 0 {
			r.cursor = next
		}
		if found, err = e.cfg.Store.ApplyTasks(ctx, late, r.cursor); err != nil {
			return err
		}
	}
	changed := 0
	if len(calls) > 0 || len(late) == 0 {
		r.cursor = next
		if changed, err = e.cfg.Store.ApplyTasks(ctx, calls, r.cursor); err != nil {
			return err
		}
	}
	e.step("page-stored")
	s.TasksRead += len(page.Records)
	s.TasksChanged += found + changed
	s.LateRows += found
	return e.saveBudget(ctx, unsavedCalls)
}

// stampOf is a row's SystemModstamp.
func stampOf(r salesforce.Record) (time.Time, bool) {
	stamp, _ := r["SystemModstamp"].(string)
	t, err := time.Parse("2006-01-02T15:04:05.000Z0700", stamp)
	return t.UTC(), err == nil
}
