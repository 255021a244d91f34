package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// A mode is how a touchpoint is sent. Its person is set when the record is created, and can
// never change while the record exists.
type mode int

const (
	plain  mode = iota // the object has no person: one upsert creates and updates
	create             // with its person
	update             // without it
	move               // to another person: deleted and created anew, under the same key
)

// mostTurns bounds how often the org's refusals may turn a create into an update and back
// within a cycle.
const mostTurns = 3

// modeOf decides by what the store knows of the record, or by what the org has answered since.
func (w *writer) modeOf(t *store.Touchpoint) mode {
	if t.PersonField == "" {
		return plain
	}
	if m, ok := w.as[t.Key]; ok {
		return m
	}
	if t.RecordID == "" {
		return create
	}
	if id := w.persons[t.Who].RecordID; t.Master != "" && id != "" && id != t.Master {
		return move
	}
	return update
}

// refusesPerson reports whether a record was refused with a code that names the person field:
// an update that carries it, or a create that lacks it.
func (e *Engine) refusesPerson(err *salesforce.Error, code, field string) bool {
	if err == nil || err.Code != code {
		return false
	}
	names := func(text string) bool {
		text = strings.ToLower(text)
		return strings.Contains(text, strings.ToLower(field)) || strings.Contains(text, strings.ToLower(e.relationOf(field)))
	}
	return slices.ContainsFunc(err.Fields, names) || names(err.Message)
}

// turn sends a row again at once, as an update where the org reports that the record exists, and
// as a create where it reports that it does not.
func (r *receipt) turn(p *parcel, row int, err *salesforce.Error) bool {
	if err == nil || p.whos != nil {
		return false
	}
	t := p.touchpoints[row]
	other := plain
	switch {
	case p.modes[row] == create && r.e.refusesPerson(err, "INVALID_FIELD_FOR_INSERT_UPDATE", t.PersonField):
		other = update
	case p.modes[row] == update && r.e.refusesPerson(err, "REQUIRED_FIELD_MISSING", t.PersonField):
		other = create
	default:
		return false
	}
	if r.w.turns[t.Key]++; r.w.turns[t.Key] > mostTurns {
		r.outcomes = append(r.outcomes, r.e.outcome(t, err, salesforce.Retry))
		delete(r.w.as, t.Key)
		return true
	}
	r.w.as[t.Key] = other
	return true
}

// A mover moves records to another person. Nothing else is under way meanwhile.
type mover struct {
	w    *writer
	rows []store.Touchpoint

	outcomes []store.Outcome
	dead     map[string]bool // record ids of persons that are no more
	moved    int
}

// moveSome moves the records of one request. The intent is on disk before it, the outcome
// after it. Salesforce deletes and creates all of them or none; an org that refuses the pair
// gets two requests, and a crash between them leaves a touchpoint without a record, which is
// created next.
func (w *writer) moveSome(ctx context.Context) {
	m := &mover{w: w, dead: map[string]bool{}}
	apart := w.takeMoves(m)
	changed, err := w.e.cfg.Store.Begin(ctx, m.rows)
	if err != nil {
		w.fail(err)
		return
	}
	defer func() {
		for _, t := range m.rows {
			delete(w.taken, t.Key)
		}
	}()
	going := slices.DeleteFunc(slices.Clone(m.rows), func(t store.Touchpoint) bool { return slices.Contains(changed, t.Key) })
	if len(going) == 0 {
		return
	}
	w.e.step("move-intent-stored")
	if apart {
		err = m.deleteFirst(ctx, going)
	} else {
		err = m.replace(ctx, going)
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if rerr := m.store(record); rerr != nil || err != nil {
		w.fail(errors.Join(err, rerr))
	}
	w.e.step("move-stored")
}

// takeMoves takes rows for one request out of the window. apart reports that they are the ones
// whose deletion and creation the org does not take in one.
func (w *writer) takeMoves(m *mover) (apart bool) {
	most := 0
	w.window = slices.DeleteFunc(w.window, func(t *waiting) bool {
		if !w.movable(t) {
			return false
		}
		if len(m.rows) == 0 {
			apart, most = w.parted[t.Key], min(w.e.size, rowsPerCall)
			if share := w.share(t); share.collection > 0 {
				most = min(most, share.collection)
			}
			if w.e.closure(w.e.cfg.TouchpointObject) != nil {
				most = 1
			}
		}
		if len(m.rows) >= most || w.parted[t.Key] != apart {
			return false
		}
		m.rows = append(m.rows, t.Touchpoint)
		return true
	})
	return apart
}

// moves reports a touchpoint that is ready to be moved.
func (w *writer) moves(t *waiting) bool {
	return !w.lacksPerson(t) && w.modeOf(&t.Touchpoint) == move
}

// movable reports whether a move can be made now.
func (w *writer) movable(t *waiting) bool { return w.moves(t) && !w.blocked(t) }

// replace deletes and creates the records in one all-or-none request.
func (m *mover) replace(ctx context.Context, rows []store.Touchpoint) error {
	w := m.w
	ids := make([]string, len(rows))
	b := salesforce.Batch{Object: w.e.cfg.TouchpointObject, ExternalID: w.e.cfg.ExternalID}
	for i, t := range rows {
		ids[i] = t.RecordID
		record := map[string]any{w.e.cfg.ExternalID: t.Key}
		w.link(record, t)
		b.Records = append(b.Records, salesforce.Row{Fields: record, Content: t.Content})
	}
	if done, err := m.blunder(ctx, rows, ids, b); done {
		return err
	}
	deleted, created, err := w.e.cfg.Org.Replace(ctx, ids, b)
	w.e.step("move-answered")
	switch classOf(err) {
	case salesforce.None:
	case salesforce.Retry, salesforce.StopCalls, salesforce.Canceled:
		return err
	case salesforce.Split:
		m.smaller(rows)
		return nil
	default: // the org takes no such request
		m.setApart(rows...)
		return nil
	}
	culprit := false
	for i, t := range rows {
		d, c := deleted[i].Err, created[i].Err
		switch {
		case d == nil && c == nil:
			m.moved++
			m.outcomes = append(m.outcomes, store.Outcome{Key: t.Key, Hash: t.Hash, RecordID: created[i].ID,
				Master: w.persons[t.Who].RecordID, State: store.Written})
		case d != nil && !salesforce.RolledBack(d):
			culprit = true
			m.refuseDelete(t, d)
		case c != nil && !salesforce.RolledBack(c):
			culprit = true
			m.refuseCreate(t, c, len(rows))
		}
	}
	if !culprit && m.moved == 0 {
		m.smaller(rows) // nobody says which of them is at fault
	}
	return nil
}

func (m *mover) setApart(rows ...store.Touchpoint) {
	for _, t := range rows {
		m.w.parted[t.Key] = true
	}
}

// smaller leaves the rows due, for requests of half as many.
func (m *mover) smaller(rows []store.Touchpoint) {
	if len(rows) == 1 {
		m.setApart(rows...)
		return
	}
	for _, t := range rows {
		m.w.limit(m.w.most, t.Key, (len(rows)+1)/2)
	}
}

// refuseDelete decides about a record that was not deleted. One that is gone already, because
// its person was deleted or the answer to an earlier request was lost, is created.
func (m *mover) refuseDelete(t store.Touchpoint, err *salesforce.Error) {
	if gone(err) {
		m.outcomes = append(m.outcomes, store.Outcome{Key: t.Key, Hash: t.Hash, Gone: true})
		return
	}
	m.refuse(t, err)
}

func (m *mover) refuseCreate(t store.Touchpoint, err *salesforce.Error, rows int) {
	class := classOf(err)
	switch {
	case m.w.e.refusesPair(t, err):
		m.setApart(t)
	case m.w.wrongPerson(t, m.w.persons[t.Who].RecordID, err):
		m.dead[m.w.persons[t.Who].RecordID] = true
	case rows > 1 && (class == salesforce.Split || class == salesforce.Bug):
		m.w.limit(m.w.most, t.Key, (rows+1)/2)
	default:
		m.refuse(t, err)
	}
}

// refusesPair reports an org to which the key of a record that is deleted in the same request
// is still taken.
func (e *Engine) refusesPair(t store.Touchpoint, err *salesforce.Error) bool {
	switch err.Code {
	case "DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID", "ENTITY_IS_DELETED":
		return true
	}
	return e.refusesPerson(err, "INVALID_FIELD_FOR_INSERT_UPDATE", t.PersonField)
}

// refuse records the refusal of one row, which a lock gets once for free.
func (m *mover) refuse(t store.Touchpoint, err *salesforce.Error) {
	class := classOf(err)
	switch {
	case class == salesforce.StopCalls || class == salesforce.Canceled:
		m.w.fail(err)
	case class == salesforce.Retry && !m.w.again[t.Key]:
		m.w.again[t.Key] = true
	default:
		m.outcomes = append(m.outcomes, m.w.e.outcome(t, err, class))
	}
}

// deleteFirst deletes the records. What was deleted is due as a new record.
func (m *mover) deleteFirst(ctx context.Context, rows []store.Touchpoint) error {
	ids := make([]string, len(rows))
	for i, t := range rows {
		ids[i] = t.RecordID
	}
	results, err := m.w.e.cfg.Org.Delete(ctx, ids)
	m.w.e.step("move-deleted")
	if err != nil && classOf(err) != salesforce.StopClass {
		return err
	}
	for i, r := range results {
		if r.Err == nil {
			m.outcomes = append(m.outcomes, store.Outcome{Key: rows[i].Key, Hash: rows[i].Hash, Gone: true})
		} else {
			m.refuseDelete(rows[i], r.Err)
		}
	}
	return nil
}

// store records what became of the rows.
func (m *mover) store(ctx context.Context) error {
	w := m.w
	w.summary.TouchpointsWritten += m.moved
	if err := w.losePersons(ctx, m.dead); err != nil {
		return err
	}
	if err := w.e.cfg.Store.Finish(ctx, w.e.local(), m.outcomes); err != nil {
		return err
	}
	w.join(nil)
	if m.moved > 0 {
		w.accepted[w.e.cfg.TouchpointObject] = true
		return w.e.resume(ctx, w.e.cfg.TouchpointObject, w.now)
	}
	return w.e.inconclusive(ctx, w.e.cfg.TouchpointObject)
}

// blunder moves records in a wrong way where a test asks for it.
func (m *mover) blunder(ctx context.Context, rows []store.Touchpoint, ids []string, b salesforce.Batch) (done bool, err error) {
	org := m.w.e.cfg.Org
	switch {
	case m.w.e.mistaken("delete without create"):
		_, err = org.Delete(ctx, ids)
	case m.w.e.mistaken("create before delete"):
		_, err = org.Upsert(ctx, []salesforce.Batch{b})
		if err == nil {
			_, err = org.Delete(ctx, ids)
		}
	default:
		return false, nil
	}
	for _, t := range rows {
		m.outcomes = append(m.outcomes, store.Outcome{Key: t.Key, Hash: t.Hash, RecordID: t.RecordID, Master: m.w.persons[t.Who].RecordID, State: store.Written})
	}
	return true, err
}
