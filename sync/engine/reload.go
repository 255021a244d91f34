package engine

import "callpoint/mapping"

// Reload gives new rules to the next cycle, which maps every stored call by them and
// upserts what comes out differently.
func (e *Engine) Reload(s *mapping.Settings, fingerprint string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reload = &reload{s, fingerprint}
}

type reload struct {
	settings    *mapping.Settings
	fingerprint string
}

// adopt takes new rules between cycles. The org's schema fits them anew.
func (e *Engine) adopt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reload == nil {
		return
	}
	e.cfg.Settings, e.cfg.Fingerprint = e.reload.settings, e.reload.fingerprint
	e.fields = e.cfg.Settings.Fields
	if e.fields == nil {
		e.fields = mapping.DefaultFields()
	}
	e.schema, e.reload = nil, nil
}
