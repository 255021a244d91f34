package engine

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"callpoint/sync/salesforce"
)

// A PanicError is the end of a cycle in which callpoint itself failed.
type PanicError struct{ what string }

func (e *PanicError) Error() string {
	return "callpoint failed (" + e.what + "); the log has the place in its code"
}

// Cure returns what to do about it.
func (e *PanicError) Cure() string {
	return "This is a fault of callpoint: please report it with the stack in the log. The collector goes on, and so does the next cycle."
}

// guarded runs fn and makes a panic in it an error. A panic in AtStep is passed on: tests
// crash there.
func (e *Engine) guarded(fn func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if e.atStep {
			panic(p)
		}
		fault, ok := p.(*fault)
		if !ok {
			fault = newFault(p)
		}
		e.cfg.Log.Error("callpoint failed: the cycle ends", "panic", fault.what, "stack", fault.stack)
		err = &PanicError{fault.what}
	}()
	return fn()
}

// A fault is a panic with its place. It holds no values: they may be personal.
type fault struct{ what, stack string }

// newFault describes a panic that is being recovered from.
func newFault(p any) *fault {
	f := &fault{what: fmt.Sprintf("panic of type %T", p)}
	if r, ok := p.(runtime.Error); ok {
		f.what = r.Error() // of Go's own, which name types and indexes alone
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		at, more := frames.Next()
		if at.Function != "" && at.Function != "runtime.gopanic" {
			fmt.Fprintf(&b, "%s %s:%d\n", at.Function, at.File, at.Line)
		}
		if !more {
			break
		}
	}
	f.stack = b.String()
	return f
}

// A trail is the pages of one query that were asked for.
type trail map[string]bool

// page asks for the next page of a query. One that was asked for before leads round in a
// circle, and is refused.
func (t trail) page(ctx context.Context, org Org, next string) (salesforce.Page, error) {
	if t[next] {
		return salesforce.Page{}, salesforce.RepeatedPage()
	}
	t[next] = true
	return org.Query(ctx, "", salesforce.QueryOptions{Next: next})
}
