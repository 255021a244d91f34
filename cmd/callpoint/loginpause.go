package main

import (
	"context"
	"sync/atomic"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// loginPauses keeps the pause after a refused login in the store, so that it outlasts the
// process. The client is made before the store is open.
type loginPauses struct{ store atomic.Pointer[store.Store] }

const loginPauseState = "login_pause"

func (l *loginPauses) LoadLoginPause() (p salesforce.LoginPause, err error) {
	if s := l.store.Load(); s != nil {
		_, err = s.State(loginPauseState, &p)
	}
	return p, err
}

func (l *loginPauses) SaveLoginPause(p salesforce.LoginPause) error {
	s := l.store.Load()
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.SetState(ctx, loginPauseState, p)
}

// endLoginPause ends the pause after a refused login, after check has logged in. In a store
// that a daemon has open the daemon's own next login does.
func (k *checker) endLoginPause(ctx context.Context) {
	if !k.cfg.storeExists() {
		return
	}
	s, err := store.Open(k.cfg.Store, k.cfg.storeOptions())
	if err != nil {
		return // the store's own line has it
	}
	var p salesforce.LoginPause
	if ok, err := s.State(loginPauseState, &p); ok && err == nil && p.Times > 0 {
		err = s.SetState(ctx, loginPauseState, salesforce.LoginPause{})
		if err != nil {
			k.warn("store", "Check the disk.", "the pause after a refused login could not be ended: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		k.fail("store", "Check the disk.", "%v", err)
	}
}
