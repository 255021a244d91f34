package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// A panickyOrg panics in one kind of request.
type panickyOrg struct {
	engine.Org
	op string
}

func (o *panickyOrg) fall(op string) {
	if o.op == op {
		notes := []map[string]int{nil}
		notes[0]["secret@example.com"] = 1 // a panic of Go's own
	}
}

func (o *panickyOrg) Query(ctx context.Context, soql string, q salesforce.QueryOptions) (salesforce.Page, error) {
	o.fall("query")
	return o.Org.Query(ctx, soql, q)
}

func (o *panickyOrg) QueryMany(ctx context.Context, soqls []string, q salesforce.QueryOptions) ([]salesforce.Page, error) {
	o.fall("query")
	return o.Org.QueryMany(ctx, soqls, q)
}

func (o *panickyOrg) Upsert(ctx context.Context, b []salesforce.Batch) ([][]salesforce.Result, error) {
	o.fall("upsert")
	all, err := o.Org.Upsert(ctx, b)
	if o.op == "answer" { // with fewer rows than were sent
		all = all[:0:0]
		all = append(all, nil, nil, nil, nil, nil, nil)[:len(b)]
	}
	return all, err
}

// A panic in a cycle, in the cycle's own goroutine or in one of a request, ends the cycle as a
// failure with a stack in the log, and the next one goes on.
func TestPanicEndsTheCycleAlone(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"query", "upsert", "describe"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			org := &panickyOrg{}
			r := newRig(t, orgsim.Config{})
			ec := r.last
			org.Org, ec.Org = ec.Org, org
			e, err := engine.New(ec)
			if err != nil {
				t.Fatal(err)
			}
			tasks := r.people(3)
			if org.op = op; op == "describe" {
				org.op, org.Org = "", nil // a nil pointer
			}
			kept := r.client
			_, err = e.Cycle(t.Context())
			if !errors.As(err, new(*engine.PanicError)) || engine.Cure(err) == "" {
				t.Fatalf("err = %v", err)
			}
			if last := e.Last(); !errors.As(last.Err, new(*engine.PanicError)) || last.At.IsZero() {
				t.Errorf("the report is %+v", last)
			}
			log := r.log.String()
			if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "engine.") || strings.Contains(log, "secret@") {
				t.Errorf("the log: %s", log)
			}
			org.op, org.Org = "", kept
			if _, err := e.Cycle(t.Context()); err != nil {
				t.Errorf("the next cycle: %v", err)
			}
			r.mustStand(tasks...)
		})
	}
}

// Pages that lead round in a circle, or hold nothing, are read again a bounded number of times,
// and no row is lost once the org answers rightly.
func TestPagesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no rows": `{"totalSize":9,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/0r8000000000001AAA-2000","records":[]}`,
		"circle":  `{"totalSize":9,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/0r8000000000002AAA-2000","records":[{"Id":"00THs00000ZZZZZMAA","CreatedDate":"2026-11-23T11:00:00.000+0000","SystemModstamp":"2026-11-23T11:00:00.000+0000"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{PageSize: 4})
			tasks := r.people(12)
			r.org.Fault(orgsim.Fault{Op: orgsim.OpMore, Body: body, Times: -1})
			before := r.org.Requests().Requests
			err := r.fails()
			if salesforce.Classify(err) != salesforce.RestartQuery {
				t.Errorf("err = %v", err)
			}
			if n := r.org.Requests().Requests - before; n > 40 {
				t.Errorf("%d requests", n)
			}
			r.org.ClearFaults()
			r.clock.advance(time.Minute)
			r.cycle()
			for _, task := range tasks {
				if r.record(task) == nil {
					t.Errorf("%s: no record of %s", name, store.CallKey(task))
				}
			}
		})
	}
}
