package engine

import (
	"context"
	"testing"
	"time"

	"callpoint/sync/salesforce"
)

// silentOrg answers when it is told to.
type silentOrg struct {
	Org
	asked, answer chan struct{}
}

func (o silentOrg) Login(context.Context) (salesforce.Identity, error) {
	close(o.asked)
	<-o.answer
	return salesforce.Identity{}, nil
}

// Progress shows a wait for Salesforce while it lasts, and takes no lock of the engine.
func TestProgress(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	e := &Engine{}
	org := silentOrg{asked: make(chan struct{}), answer: make(chan struct{})}
	watched := watchedOrg{org, &e.progress, func() time.Time { return now }}
	if moved, waiting := e.Progress(); !moved.IsZero() || waiting {
		t.Errorf("before the first request: %v %v", moved, waiting)
	}
	ended := make(chan struct{})
	go func() { _, _ = watched.Login(t.Context()); close(ended) }()
	<-org.asked
	e.mu.Lock()
	if moved, waiting := e.Progress(); !moved.IsZero() || !waiting {
		t.Errorf("during a request: %v %v", moved, waiting)
	}
	e.mu.Unlock()
	close(org.answer)
	<-ended
	if moved, waiting := e.Progress(); !moved.Equal(now) || waiting {
		t.Errorf("after a request: %v %v", moved, waiting)
	}
}
