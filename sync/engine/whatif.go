package engine

import (
	"callpoint/mapping"
	"callpoint/store"
)

// WhatIf gives a function that answers for a journey as the next cycle would if the
// settings were changed, for the visitor alone. Nothing is written, and the engine's own settings stay.
func (e *Engine) WhatIf(change func(*mapping.Settings)) (func(store.Journey) mapping.Resolved, error) {
	earliest, err := e.cfg.Store.Earliest()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	other := *e.cfg.Settings
	e.mu.Unlock()
	change(&other)
	return func(j store.Journey) mapping.Resolved {
		e.mu.Lock() // what the org lacks is shared with the settings in use
		defer e.mu.Unlock()
		return other.Resolve(e.journey(j, earliest))
	}, nil
}
