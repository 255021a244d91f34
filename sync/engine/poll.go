package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// restarts bounds how often one poll begins anew because the org lost its place.
const restarts = 5

// minWindow is the narrowest span that a query is cut down to.
const minWindow = time.Minute

// poll reads every Task that changed since the cursor, page by page. The cursor moves
// with each page, so that a first run of months goes on where it was stopped.
func (e *Engine) poll(ctx context.Context, s *Summary) error {
	cursor, ok, err := e.cfg.Store.Cursor()
	if err != nil {
		return err
	}
	if !ok {
		start := e.cfg.Start.UTC().Truncate(time.Second)
		cursor = store.Cursor{Since: start, Start: start}
	}
	for tries := 0; ; {
		more, err := e.pollWindow(ctx, &cursor, s)
		switch class := salesforce.Classify(err); {
		case err == nil && !more:
			return nil
		case err == nil:
		case class == salesforce.RestartQuery && tries < restarts:
			tries++
			e.cfg.Log.Info("query locator expired: reading on from the cursor", "cursor", cursor.Since)
		case class == salesforce.NarrowQuery && e.narrow(cursor):
			e.cfg.Log.Warn("query is too large for the org: reading a shorter span", "span", e.window, "err", err)
		default:
			return fmt.Errorf("poll: %w", err)
		}
	}
}

// narrow halves the span of a query; false means that it is as short as it gets.
func (e *Engine) narrow(c store.Cursor) bool {
	if e.window == 0 {
		e.window = e.now().Sub(c.Since)
	}
	if e.window <= minWindow {
		return false
	}
	e.window = max(minWindow, e.window/2)
	return true
}

// pollWindow reads from the cursor to now, or to the end of a narrowed span; more says
// that there is another span to read.
func (e *Engine) pollWindow(ctx context.Context, c *store.Cursor, s *Summary) (more bool, err error) {
	asked := e.now()
	var until time.Time
	if e.window > 0 && c.Since.Add(e.window).Before(asked) {
		until = c.Since.Add(e.window).Truncate(time.Second)
	}
	soql := e.taskQuery(*c, until)
	o := salesforce.QueryOptions{All: true}
	read, began := 0, e.cfg.Now()
	for first := true; ; first = false {
		page, err := e.cfg.Org.Query(ctx, soql, o)
		if err != nil {
			return false, err
		}
		if first {
			asked = e.hear(page.ServerTime, began)
		}
		calls := make([]store.Call, 0, len(page.Records))
		for _, r := range page.Records {
			call, err := e.readTask(r)
			if err != nil {
				return false, err
			}
			calls = append(calls, call)
		}
		e.advance(c, page, asked, until)
		e.step("page-read")
		changed, err := e.cfg.Store.ApplyTasks(ctx, calls, *c)
		if err != nil {
			return false, err
		}
		e.step("page-stored")
		s.TasksRead += len(calls)
		s.TasksChanged += changed
		if read += len(calls); page.Next != "" && read > 0 {
			e.progress(read, page.Total, began)
		}
		if page.Next == "" {
			return !until.IsZero(), nil
		}
		o.Next = page.Next
	}
}

// taskQuery asks for Tasks in the order of their stamps. Stamps are whole seconds and
// shared by many rows, so the bound is inclusive.
func (e *Engine) taskQuery(c store.Cursor, until time.Time) string {
	var q strings.Builder
	fmt.Fprintf(&q, "SELECT %s FROM Task WHERE (%s) AND CreatedDate >= %s AND SystemModstamp >= %s",
		strings.Join(e.cfg.Settings.TaskFields(), ", "), e.cfg.TaskFilter,
		salesforce.DateTime(c.Start), salesforce.DateTime(c.Since))
	if !until.IsZero() {
		fmt.Fprintf(&q, " AND SystemModstamp < %s", salesforce.DateTime(until))
	}
	q.WriteString(" ORDER BY SystemModstamp, Id")
	return q.String()
}

// hear sets the org's clock by an answer, and returns the time at which the query
// began there: what it saw is complete up to that time less the overlap.
func (e *Engine) hear(server, began time.Time) time.Time {
	now := e.cfg.Now()
	if server.IsZero() {
		return began.Add(e.clock).UTC()
	}
	// Date is a whole second: half of it, and half of the way there and back, on average.
	offset := server.Sub(now)
	if offset.Abs() < 2*time.Second {
		offset = 0
	}
	e.mu.Lock()
	e.clock = offset
	e.mu.Unlock()
	return server.Add(-now.Sub(began) - time.Second).UTC()
}

// advance moves the cursor over a page. Rows are ordered by their stamps, so after a
// page all before its last row was read; but a row may become visible up to the
// overlap after its stamp, so the cursor stays that far behind the query.
func (e *Engine) advance(c *store.Cursor, page salesforce.Page, asked, until time.Time) {
	bound := asked.Add(-e.cfg.Overlap)
	if page.Next != "" {
		last, ok := lastStamp(page.Records)
		if !ok {
			return
		}
		until = last
	}
	if !until.IsZero() && until.Before(bound) {
		bound = until
	}
	if bound = bound.Truncate(time.Second); bound.After(c.Since) {
		c.Since = bound
	}
}

func lastStamp(records []salesforce.Record) (time.Time, bool) {
	if len(records) == 0 {
		return time.Time{}, false
	}
	stamp, _ := records[len(records)-1]["SystemModstamp"].(string)
	t, err := time.Parse("2006-01-02T15:04:05.000Z0700", stamp)
	return t.UTC(), err == nil
}

// readTask turns a row into a call. The hash is over what the query asked for, less
// the stamp, which moves without a visible change.
func (e *Engine) readTask(r salesforce.Record) (store.Call, error) {
	hashed := maps.Clone(r)
	delete(hashed, "SystemModstamp")
	b, err := json.Marshal(hashed)
	if err != nil {
		return store.Call{}, err
	}
	call, err := e.cfg.Settings.ReadCall(r)
	if err != nil {
		return store.Call{}, err
	}
	sum := sha256.Sum256(b)
	return store.Call{Call: call, Hash: hex.EncodeToString(sum[:16]), ReadAt: e.cfg.Now().UTC()}, nil
}

// progress tells of a long read: rows, rate, time left.
func (e *Engine) progress(read, total int, began time.Time) {
	took := e.cfg.Now().Sub(began)
	rate := float64(read) / max(took.Seconds(), 0.001)
	left := time.Duration(float64(total-read)/rate) * time.Second
	e.cfg.Log.Info("reading tasks", "read", read, "of", total, "per_second", int(rate), "left", left.String())
}
