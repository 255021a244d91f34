package engine

import (
	"context"
	"fmt"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// TaskUnread is the kind of a Task that the filter finds and the store lacks.
const TaskUnread = "task_unread"

// Reread lets the next poll read what changed since a time once more, and Tasks that were
// created since then although the start was later: permissions, filters or the start may
// have been widened. It returns the time from which the next poll reads.
func (e *Engine) Reread(ctx context.Context, since time.Time) (from time.Time, err error) {
	since = since.UTC().Truncate(time.Second)
	err = e.alone(ctx, func() error {
		for _, src := range e.sources {
			cursor, ok, err := e.cfg.Store.CursorOf(src.key())
			if err != nil {
				return err
			}
			if !ok { // the first poll reads from the start
				start := e.startTime()
				cursor = store.Cursor{Since: start, Start: start}
			}
			cursor = moveBack(cursor, since)
			if from.IsZero() || cursor.Since.Before(from) {
				from = cursor.Since
			}
			if err := e.cfg.Store.SetState(ctx, src.state("cursor"), cursor); err != nil {
				return err
			}
		}
		return nil
	})
	return from, err
}

// moveBack lets a cursor begin at a time, if that is earlier.
func moveBack(c store.Cursor, since time.Time) store.Cursor {
	if since.Before(c.Since) {
		c.Since = since
	}
	if since.Before(c.Start) {
		c.Start = since
	}
	return c
}

// startTime is the configured start, by now.
func (e *Engine) startTime() time.Time {
	start := e.cfg.Start
	if start.IsZero() {
		start = e.now().Add(-e.cfg.StartBack)
	}
	return start.UTC().Truncate(time.Second)
}

// widenStart moves a poll that has read all that is new back to the start, where that was
// moved back since the cursor was first stored: what lies between is read. The clocks have
// been compared by then.
func (e *Engine) widenStart(r *reader) bool {
	start, by := e.startTime(), time.Second
	if e.cfg.Start.IsZero() {
		by = time.Hour // a duration back ends wherever the clock is
	}
	if r.cursor.Start.Sub(start) < by || e.cfg.Clock.Doubt() != nil {
		return false
	}
	e.cfg.Log.Info("the start was moved back: what lies between is read", "from", start, "was", r.cursor.Start)
	r.cursor = moveBack(r.cursor, start)
	r.from = r.cursor.Since
	return true
}

// unreadTasks counts the Tasks that the filter finds and the store lacks, although polls have
// passed them: the user may see more than before. With fix they are read.
func (e *Engine) unreadTasks(ctx context.Context, fix bool, r *Reconciled) error {
	for _, src := range e.sources {
		if src.broken != nil {
			continue
		}
		if err := e.unreadRows(ctx, src, fix, r); err != nil {
			return err
		}
	}
	return nil
}

// unreadRows is unreadTasks for one source.
func (e *Engine) unreadRows(ctx context.Context, src *source, fix bool, r *Reconciled) error {
	cursor, ok, err := e.cfg.Store.CursorOf(src.key())
	if err != nil || !ok {
		return err
	}
	soql := fmt.Sprintf("SELECT Id FROM %s WHERE (%s) AND CreatedDate >= %s AND SystemModstamp < %s AND IsDeleted = false ORDER BY Id",
		src.object(), e.filter(src), salesforce.DateTime(cursor.Start), salesforce.DateTime(cursor.Since))
	page, err := e.cfg.Org.Query(ctx, soql, salesforce.QueryOptions{All: true})
	for asked := (trail{}); err == nil; page, err = asked.page(ctx, e.cfg.Org, page.Next) {
		if err = e.unreadPage(ctx, page.Records, fix, r); err != nil {
			break
		}
		e.moveOn()
		if page.Next == "" {
			break
		}
	}
	if classOf(err) == salesforce.NarrowQuery {
		e.cfg.Log.Warn("Tasks that the store lacks were not looked for: the query is too large for the org", "err", err)
		return nil
	}
	return err
}

func (e *Engine) unreadPage(ctx context.Context, records []salesforce.Record, fix bool, r *Reconciled) error {
	ids := make([]string, 0, len(records))
	for _, record := range records {
		if id, _ := record["Id"].(string); id != "" {
			ids = append(ids, id)
		}
	}
	known, err := e.cfg.Store.FilterStored(ids)
	if err != nil {
		return err
	}
	has := make(map[string]bool, len(known))
	for _, id := range known {
		has[id] = true
	}
	var unread []string
	for _, id := range ids {
		if !has[id] {
			unread = append(unread, id)
			r.TasksUnread++
			r.note(Difference{Kind: TaskUnread, TaskID: id})
		}
	}
	if !fix || len(unread) == 0 {
		return nil
	}
	_, _, err = e.readByID(ctx, unread, time.Time{}, true)
	return err
}
