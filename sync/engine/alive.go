package engine

import (
	"context"
	"sync/atomic"
	"time"

	"callpoint/sync/salesforce"
)

// progress is what the liveness of the engine is judged by. It has no lock, so that a probe
// answers also while the engine holds one of its own.
type progress struct {
	moved   atomic.Pointer[time.Time] // when a step or a request last ended; nil: never
	waiting atomic.Int32              // requests to Salesforce in flight
}

func (p *progress) move(now time.Time) { p.moved.Store(&now) }

// Progress returns when a step of a cycle last ended (zero: never), and whether the engine
// waits for Salesforce. A request has timeouts of its own: however long Salesforce stays
// silent, a restart would not help.
func (e *Engine) Progress() (moved time.Time, waiting bool) {
	waiting = e.progress.waiting.Load() > 0 // before moved: a request that ends moves first
	if t := e.progress.moved.Load(); t != nil {
		moved = *t
	}
	return moved, waiting
}

// A watchedOrg is an Org that counts its requests in flight. It embeds none, so that a new
// method cannot be forgotten.
type watchedOrg struct {
	org Org
	p   *progress
	now func() time.Time
}

// asks counts a request until the function that it returns is called.
func (o watchedOrg) asks() (ended func()) {
	o.p.waiting.Add(1)
	return func() {
		o.p.move(o.now())
		o.p.waiting.Add(-1)
	}
}

func (o watchedOrg) Login(ctx context.Context) (salesforce.Identity, error) {
	defer o.asks()()
	return o.org.Login(ctx)
}

func (o watchedOrg) Query(ctx context.Context, soql string, q salesforce.QueryOptions) (salesforce.Page, error) {
	defer o.asks()()
	return o.org.Query(ctx, soql, q)
}

func (o watchedOrg) QueryMany(ctx context.Context, soqls []string, q salesforce.QueryOptions) ([]salesforce.Page, error) {
	defer o.asks()()
	return o.org.QueryMany(ctx, soqls, q)
}

func (o watchedOrg) Upsert(ctx context.Context, batches []salesforce.Batch) ([][]salesforce.Result, error) {
	defer o.asks()()
	return o.org.Upsert(ctx, batches)
}

func (o watchedOrg) Update(ctx context.Context, object string, records []map[string]any) ([]salesforce.Result, error) {
	defer o.asks()()
	return o.org.Update(ctx, object, records)
}

func (o watchedOrg) Delete(ctx context.Context, ids []string) ([]salesforce.Result, error) {
	defer o.asks()()
	return o.org.Delete(ctx, ids)
}

func (o watchedOrg) UpsertThenQuery(ctx context.Context, batches []salesforce.Batch, soqls []string) ([][]salesforce.Result, []salesforce.Page, error) {
	defer o.asks()()
	return o.org.UpsertThenQuery(ctx, batches, soqls)
}

func (o watchedOrg) Replace(ctx context.Context, ids []string, b salesforce.Batch) (deleted, created []salesforce.Result, err error) {
	defer o.asks()()
	return o.org.Replace(ctx, ids, b)
}

func (o watchedOrg) Describe(ctx context.Context, object string) (salesforce.Object, error) {
	defer o.asks()()
	return o.org.Describe(ctx, object)
}
