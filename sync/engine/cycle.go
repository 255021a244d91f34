package engine

import (
	"context"
	"errors"

	"callpoint/sync/salesforce"
)

// A beside runs requests beside the cycle. What follows from an answer is done by the
// cycle's own goroutine: everything else in the engine belongs to that one alone.
type beside struct {
	answers chan func()
	open    int
}

// mostBeside is how many requests can be under way: write calls, a look-up, a page.
const mostBeside = mostWriters + 2

func newBeside() *beside { return &beside{answers: make(chan func(), mostBeside)} }

// start runs ask in a goroutine; next or arrived calls what it returns.
func (b *beside) start(ask func() (then func())) {
	b.open++
	go func() {
		then := func() {}
		defer func() {
			if p := recover(); p != nil {
				f := newFault(p)
				then = func() { panic(f) } // on the cycle's goroutine, which ends with it
			}
			b.answers <- then
		}()
		then = ask()
	}()
}

// abandon waits for the requests in flight and ignores their answers.
func (b *beside) abandon() {
	for ; b.open > 0; b.open-- {
		<-b.answers
	}
}

// next waits for an answer and acts on it.
func (b *beside) next() {
	then := <-b.answers
	b.open--
	then()
}

// arrived acts on the answers that are there.
func (b *beside) arrived() {
	for len(b.answers) > 0 {
		b.next()
	}
}

// steps is one cycle: while a page is on its way the one before it is resolved, and while
// write calls are on their way both goes on.
func (e *Engine) steps(ctx context.Context, s *Summary) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	w := e.newWriter(s)
	err := e.guarded(func() error {
		err := e.readAndWrite(ctx, w)
		w.land()
		return err
	})
	w.abandon() // after a panic
	if w.late != nil && w.err == nil {
		w.fail(w.late)
	}
	return errors.Join(err, w.err)
}

func (e *Engine) readAndWrite(ctx context.Context, w *writer) error {
	pollErr := e.poll(ctx, w)
	if pollErr == nil {
		pollErr = e.sweep(ctx, w.summary)
	}
	var lookErr error
	if pollErr == nil {
		// What cannot be looked up keeps nothing else from being written, unless the org is away.
		if lookErr = errors.Join(e.followLeads(ctx), e.findNames(ctx, w)); away(lookErr) {
			pollErr, lookErr = lookErr, nil
		}
	}
	// Whatever fails of the reading, what is known is resolved, and what is due is written.
	if err := e.resolve(ctx, w); err != nil {
		return errors.Join(pollErr, err)
	}
	switch classOf(pollErr) {
	case salesforce.StopCalls, salesforce.Canceled:
		return pollErr
	}
	pollErr = errors.Join(pollErr, lookErr)
	if e.cfg.DryRun {
		return errors.Join(pollErr, e.tellDryRun())
	}
	if err := e.drain(ctx, w); err != nil {
		return errors.Join(pollErr, err)
	}
	if w.err == nil || errors.As(w.err, new(*PausedError)) {
		pollErr = errors.Join(pollErr, e.writeReasons(ctx, w.summary))
	}
	return pollErr
}

// drain sends what is due. Where the answers of the org change whom calls count for, those are
// resolved again, and sent.
func (e *Engine) drain(ctx context.Context, w *writer) error {
	w.drain(ctx)
	for w.err == nil && len(w.renamed) > 0 {
		if err := e.resolve(ctx, w); err != nil {
			return err
		}
		w.drain(ctx)
	}
	return nil
}

// away reports an error after which no other request is worth a try in this cycle.
func away(err error) bool {
	switch classOf(err) {
	case salesforce.Retry, salesforce.StopCalls, salesforce.Canceled:
		return true
	}
	return false
}
