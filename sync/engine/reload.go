package engine

import (
	"context"
	"strings"

	"callpoint/mapping"
)

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

// reread lets the next poll begin at the start where it asks for other fields, or for
// other Tasks, than the polls before: what was read already does not have them.
func (e *Engine) reread(ctx context.Context) error {
	asks := strings.Join(e.cfg.Settings.TaskFields(), ",") + " " + e.cfg.TaskFilter
	var asked string
	known, err := e.cfg.Store.State("asked", &asked)
	if err != nil || known && asked == asks {
		return err
	}
	if cursor, ok, err := e.cfg.Store.Cursor(); err != nil {
		return err
	} else if ok && known {
		e.cfg.Log.Info("the Tasks to read changed: they are read anew", "since", cursor.Start)
		cursor.Since = cursor.Start
		if err := e.cfg.Store.SetState(ctx, "cursor", cursor); err != nil {
			return err
		}
	}
	return e.cfg.Store.SetState(ctx, "asked", asks)
}
