package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"
)

// A source is one object whose rows are calls. Each has its own cursor; everything after the
// reading is the same for all.
type source struct {
	conf   *mapping.Source // nil: Tasks, by the settings
	prefix string          // of the object's record ids, as described
	window time.Duration   // width of a query's span where the org asked for less; 0 is open
	broken error           // why its object cannot be read, as described
}

// newSources returns the sources to read, Tasks first.
func newSources(cfg *Config) (all []*source) {
	if !cfg.SkipTasks {
		all = append(all, &source{prefix: taskPrefix})
	}
	for i := range cfg.Sources {
		conf := cfg.Sources[i]
		all = append(all, &source{conf: &conf})
	}
	return all
}

// taskPrefix begins the ids of Tasks.
const taskPrefix = "00T"

func (s *source) name() string {
	if s.conf == nil {
		return mapping.TaskSource
	}
	return s.conf.Name
}

// key is the source in the store: empty for Tasks.
func (s *source) key() string {
	if s.conf == nil {
		return ""
	}
	return s.conf.Name
}

// state names a value that the store keeps for each source.
func (s *source) state(name string) string {
	if s.conf == nil {
		return name
	}
	return name + ":" + s.conf.Name
}

func (s *source) object() string {
	if s.conf == nil {
		return taskObject
	}
	return s.conf.Object
}

// fields returns the field list of a query.
func (e *Engine) queryFields(s *source) string {
	if s.conf == nil {
		return strings.Join(e.cfg.Settings.TaskFields(), ", ")
	}
	return strings.Join(s.conf.Fields(), ", ")
}

// filter returns the condition that makes a row a call.
func (e *Engine) filter(s *source) string {
	switch {
	case s.conf == nil:
		return e.cfg.TaskFilter
	case s.conf.Filter == "":
		return "Id != null"
	}
	return s.conf.Filter
}

// read turns a row into a call.
func (e *Engine) read(s *source, r salesforce.Record) (mapping.Call, error) {
	if s.conf == nil {
		return e.cfg.Settings.ReadCall(r)
	}
	return e.cfg.Settings.ReadSourceCall(s.conf, r)
}

// sourceOf returns the source of a row by its id; nil for an object that is not read any more.
func (e *Engine) sourceOf(id string) *source {
	for _, s := range e.sources {
		if s.prefix != "" && strings.HasPrefix(id, s.prefix) {
			return s
		}
	}
	return nil
}

// poll reads every source. One that fails by itself, as where a permission was lost, does
// not keep the others from being read.
func (e *Engine) poll(ctx context.Context, w *writer) error {
	var problems []error
	for _, s := range e.sources {
		err := s.broken
		if err == nil {
			err = e.pollSource(ctx, s, w)
		}
		if err == nil {
			continue
		}
		if class := classOf(err); s.conf == nil || class != salesforce.StopClass && class != salesforce.Bug && s.broken == nil {
			return errors.Join(append(problems, err)...)
		}
		if w.summary.SourcesFailed == nil {
			w.summary.SourcesFailed = map[string]string{}
		}
		w.summary.SourcesFailed[s.name()] = err.Error()
		e.cfg.Log.Error("a source of calls cannot be read", "source", s.name(), "err", err, "cure", salesforce.Cure(err))
	}
	return nil
}

// fitSources checks the sources against the org. A source that was read before and does not
// fit any more fails alone; one that never was stops the start.
func (e *Engine) fitSources(s *schema) error {
	var problems []error
	for _, src := range e.sources {
		if src.conf == nil {
			continue
		}
		o := s.object(src.conf.Object)
		src.prefix, src.broken = o.KeyPrefix, nil
		err := error(nil)
		switch {
		case o.Name == "":
			err = fmt.Errorf("[%s]: the org has no object %s, or the user may not read it; correct the name, install the vendor's package, or grant read access", src.conf.Name, src.conf.Object)
		case !o.Queryable:
			err = fmt.Errorf("[%s]: the user may not read %s; grant read access", src.conf.Name, src.conf.Object)
		default:
			conf := *src.conf
			conf.Object = o.Name
			if err = conf.Fit(fieldInfo(o)); err == nil {
				src.conf = &conf
			}
		}
		if err == nil {
			continue
		}
		_, known, cerr := e.cfg.Store.CursorOf(src.key())
		if cerr != nil {
			return cerr
		}
		if known {
			src.broken = err
			continue
		}
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return &ConfigError{fmt.Errorf("CALLPOINT_CALL_SOURCES: %w", errors.Join(problems...))}
	}
	return nil
}

// startAgain moves a source's cursor to its start where the query asks for other fields or
// other rows than before: what was read already does not have them.
func (e *Engine) startAgain(ctx context.Context) error {
	for _, src := range e.sources {
		if src.broken != nil {
			continue
		}
		asks := strings.ReplaceAll(e.queryFields(src), ", ", ",") + " " + e.filter(src)
		var asked string
		known, err := e.cfg.Store.State(src.state("asked"), &asked)
		if err != nil {
			return err
		}
		if known && asked == asks {
			continue
		}
		cursor, ok, err := e.cfg.Store.CursorOf(src.key())
		if err != nil {
			return err
		}
		if ok && known {
			e.cfg.Log.Info("the query of a source changed: its rows are read again", "source", src.name(), "since", cursor.Start)
			cursor.Since = cursor.Start
			if err := e.cfg.Store.SetState(ctx, src.state("cursor"), cursor); err != nil {
				return err
			}
		}
		if err := e.cfg.Store.SetState(ctx, src.state("asked"), asks); err != nil {
			return err
		}
	}
	return nil
}

// bySource groups ids by their source. Ids of objects that are not read any more are left
// out: nothing is known of them.
func (e *Engine) bySource(ids []string) map[*source][]string {
	groups := map[*source][]string{}
	for _, id := range ids {
		if s := e.sourceOf(id); s != nil && s.broken == nil {
			groups[s] = append(groups[s], id)
		}
	}
	return groups
}

// sourceObjects returns the objects of the sources beside Task.
func (e *Engine) sourceObjects() (names []string) {
	for _, s := range e.sources {
		if s.conf != nil && !slices.Contains(names, s.conf.Object) {
			names = append(names, s.conf.Object)
		}
	}
	return names
}

// ofTask reports whether a call is a Task: a reason can be written to it.
func ofTask(c *store.Call) bool { return c.Source == "" }
