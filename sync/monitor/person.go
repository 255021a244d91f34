package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
)

// PersonView is the journey of a Lead or Contact as scripts read it.
type PersonView struct {
	WhoID      string        `json:"who_id"`
	Person     *PersonRecord `json:"person"` // null: Salesforce has none, or it was not looked up yet
	BizibleIDs []string      `json:"bizible_ids"`
	TooMany    bool          `json:"too_many_ids"` // each id has a journey of its own; only the first ids are listed
	Journey    []JourneyStep `json:"journey"`      // by time
}

// PersonRecord is a Bizible Person in Salesforce.
type PersonRecord struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// A JourneyStep is a session, a form in it, or a call.
type JourneyStep struct {
	At           time.Time `json:"at"`
	Kind         string    `json:"kind"` // session, form or call
	BizibleID    string    `json:"bizible_id"`
	ChannelPath  string    `json:"channel_path"`
	Position     string    `json:"position"`      // of its touchpoint; empty: it has none
	TaskID       string    `json:"task_id"`       // the call; of a session the one that it is credited to
	SalesforceID string    `json:"salesforce_id"` // of the touchpoint that shows it; empty: none does

	Device string `json:"device"`
	Page   string `json:"page"`   // the session's landing page, or that of the form
	Reason string `json:"reason"` // of a call
}

var stepKinds = []string{"session", "form", "call"}

// Person shows the journey of a Lead or Contact; its id may have 15 or 18 characters. For a
// converted Lead it shows that of the Contact.
func (s *Server) Person(who string) (PersonView, error) {
	look, err := s.cfg.Engine.Person(mapping.ID18(strings.TrimSpace(who)))
	if err != nil {
		return PersonView{}, err
	}
	v := PersonView{WhoID: look.PersonJourney.Person, BizibleIDs: append([]string{}, look.BizibleIDs...), TooMany: !look.Followed, Journey: []JourneyStep{}}
	if v.TooMany {
		v.BizibleIDs = v.BizibleIDs[:min(len(v.BizibleIDs), mapping.MaxVisitors)]
	}
	persons, err := s.cfg.Store.Persons([]string{v.WhoID})
	if err != nil {
		return v, err
	}
	if p := persons[v.WhoID]; p.RecordID != "" {
		v.Person = &PersonRecord{p.RecordID, p.Key}
	}
	if v.TooMany {
		return v, nil
	}
	b := stepper{look: &look, calls: map[string]store.Call{}}
	if err := s.cfg.Store.Callers(v.WhoID, func(c store.Call) error {
		b.calls[c.TaskID] = c
		return nil
	}); err != nil {
		return v, err
	}
	if len(b.calls)+len(look.Facts) == 0 {
		return v, fmt.Errorf("no call counts for %s: %w", who, store.ErrNotFound)
	}
	if b.records, err = s.cfg.Store.Touchpoints(b.keys()); err != nil {
		return v, err
	}
	b.addCalls()
	b.addSessions()
	v.Journey = append(v.Journey, b.steps...)
	slices.SortStableFunc(v.Journey, func(a, b JourneyStep) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(slices.Index(stepKinds, a.Kind), slices.Index(stepKinds, b.Kind)),
			strings.Compare(a.BizibleID, b.BizibleID), strings.Compare(a.TaskID, b.TaskID))
	})
	return v, nil
}

func (s *Server) person(w http.ResponseWriter, r *http.Request) {
	v, err := s.Person(r.PathValue("id"))
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, v)
}

// Unfollowed lists persons with too many BizibleIds to follow.
type Unfollowed struct {
	Persons []string `json:"persons"`
	More    bool     `json:"more"` // there are others
}

const unfollowedListed = 100

// unfollowed answers GET /v1/persons?too_many_ids=true, the only list of persons there is.
func (s *Server) unfollowed(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("too_many_ids") != "true" {
		fail(w, &badRequest{errors.New("too_many_ids=true is the only list of persons; /v1/persons/ID shows one")})
		return
	}
	persons, err := s.cfg.Store.Crowds(unfollowedListed + 1)
	if err != nil {
		fail(w, err)
		return
	}
	n := min(len(persons), unfollowedListed)
	reply(w, http.StatusOK, Unfollowed{append([]string{}, persons[:n]...), len(persons) > n})
}

// A stepper lists the steps of one person.
type stepper struct {
	look    *engine.PersonLook
	calls   map[string]store.Call       // of the person, by Task
	records map[string]store.Touchpoint // by external id
	steps   []JourneyStep
}

// keys lists the external ids of all records that the person may have.
func (b *stepper) keys() (keys []string) {
	for task := range b.calls {
		keys = append(keys, store.CallKey(task))
	}
	for i := range b.look.Facts {
		keys = append(keys, b.look.Facts[i].Key)
	}
	for _, x := range b.look.Placed.Web {
		keys = append(keys, x.Key)
	}
	return keys
}

// recordID returns the id of a record that Salesforce has.
func (b *stepper) recordID(key string) string {
	if t, ok := b.records[key]; ok && !t.Delete {
		return t.RecordID
	}
	return ""
}

func (b *stepper) addCalls() {
	where := map[string]mapping.Position{}
	for i := range b.look.Facts {
		where[b.look.Facts[i].TaskID] = b.look.Placed.Positions[i]
	}
	for task, c := range b.calls {
		step := JourneyStep{At: c.At, Kind: "call", BizibleID: c.Visitor, TaskID: task, Position: where[task].String(),
			SalesforceID: b.recordID(store.CallKey(task)), Reason: string(c.Resolution.Reason)}
		t := b.records[store.CallKey(task)]
		step.ChannelPath = text(t.Values()["bizible2__Marketing_Channel_Path__c"])
		if x := c.Resolution.Session; x != nil {
			step.ChannelPath, step.Device = x.ChannelPath, mapping.Device(x.UserAgent)
		}
		b.steps = append(b.steps, step)
	}
}

// addSessions adds the sessions of every visitor, also those that retention has dropped as far as
// positions, records or calls still know of them.
func (b *stepper) addSessions() {
	type key struct{ visitor, id string }
	known := map[key]mapping.Session{}
	credited := map[key]string{}
	add := func(visitor string, x mapping.Session) {
		k := key{visitor, x.ID}
		if old, ok := known[k]; !ok || old.LandingPage == "" {
			known[k] = x
		}
	}
	for visitor, sessions := range b.look.Sessions {
		for _, x := range sessions {
			add(visitor, x)
		}
	}
	for i := range b.look.Facts {
		f := &b.look.Facts[i]
		if f.Session == nil {
			continue
		}
		if f.TaskID != "" {
			credited[key{f.Visitor, f.Session.ID}] = f.TaskID
		}
		switch c, t := b.calls[f.TaskID], b.records[f.Key]; {
		case c.Resolution.Session != nil:
			add(f.Visitor, *c.Resolution.Session)
		case t.Session != nil:
			add(f.Visitor, *t.Session)
		}
	}
	for _, v := range b.look.Visitors {
		for _, x := range v.Steps {
			add(v.Visitor, mapping.Session{ID: x.ID, StartedAt: x.At, FormAt: x.Form})
		}
	}
	for k, x := range known {
		step := JourneyStep{At: x.StartedAt, Kind: "session", BizibleID: k.visitor, ChannelPath: x.ChannelPath, Page: x.LandingPage,
			Position: b.look.Placed.Session(k.visitor, k.id).String(), TaskID: credited[k], Device: mapping.Device(x.UserAgent),
			SalesforceID: b.recordID(mapping.JourneyKey(b.look.PersonJourney.Person, k.id))}
		if step.TaskID != "" {
			step.SalesforceID = b.recordID(store.CallKey(step.TaskID))
		}
		b.steps = append(b.steps, step)
		if !x.FormAt.IsZero() {
			step.At, step.Kind, step.Page = x.FormAt, "form", x.FormURL
			b.steps = append(b.steps, step)
		}
	}
}

// stepsShown bounds the journey in an explanation.
const stepsShown = 200

// personSection puts a person's journey into words, from the point of view of one of its calls.
func personSection(v CallView) Section {
	s := Section{Title: "The person's journey"}
	p := v.Person
	switch {
	case p == nil:
		s.Text = append(s.Text, "The call counts for nobody: its position is that in the journey of its BizibleId alone.")
		return s
	case p.TooMany:
		s.Text = append(s.Text, fmt.Sprintf("%s has more than %d BizibleIds, as a Lead has under which all unknown callers are filed. It is not followed: each BizibleId is a journey of its own.",
			p.WhoID, mapping.MaxVisitors))
		return s
	}
	s.Text = append(s.Text, fmt.Sprintf("%s is known under %s.", p.WhoID, counted(len(p.BizibleIDs), "BizibleId", "BizibleIds")))
	s.Text = append(s.Text, positionWords(v)...)
	for i, x := range p.Journey {
		if i == stepsShown {
			s.Text = append(s.Text, fmt.Sprintf("%d later steps are left out here: /v1/persons/%s has all of them.", len(p.Journey)-i, p.WhoID))
			break
		}
		s.Rows = append(s.Rows, Row{moment(x.At) + "  " + x.Kind, stepWords(x, v.TaskID)})
	}
	return s
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// stepWords describes one step of a journey.
func stepWords(x JourneyStep, task string) string {
	var parts []string
	if x.Kind == "call" {
		what := "Task " + x.TaskID
		if x.TaskID == task {
			what = "this call"
		}
		parts = append(parts, what)
	} else if x.Page != "" {
		parts = append(parts, x.Page)
	}
	if x.ChannelPath != "" {
		parts = append(parts, x.ChannelPath)
	}
	if x.Device != "" {
		parts = append(parts, x.Device)
	}
	if x.BizibleID != "" {
		parts = append(parts, "BizibleId "+x.BizibleID)
	}
	if x.Position != "" {
		parts = append(parts, "position "+x.Position)
	}
	if x.SalesforceID != "" {
		parts = append(parts, "record "+x.SalesforceID)
	} else {
		parts = append(parts, "no record")
	}
	return strings.Join(parts, "; ")
}

// positionWords explains why a call's touchpoint has the position that it has.
func positionWords(v CallView) (all []string) {
	var own, first, lead *JourneyStep
	for i := range v.Person.Journey {
		x := &v.Person.Journey[i]
		if x.Kind == "call" && x.TaskID == v.TaskID {
			own = x
		}
		if first == nil && strings.Contains(x.Position, "FT") {
			first = x
		}
		if (x.Kind != "session") && lead == nil && slices.Contains(strings.Split(x.Position, ", "), "LC") {
			lead = x
		}
	}
	if own == nil || own.Position == "" {
		return []string{"It has no position: it has no touchpoint that counts."}
	}
	parts := strings.Split(own.Position, ", ")
	switch {
	case slices.Contains(parts, "FT"):
		all = append(all, "FT: nothing in the journey is earlier.")
	case first != nil:
		all = append(all, fmt.Sprintf("Not FT: the first touch is the %s of %s.", first.Kind, moment(first.At)))
	default:
		all = append(all, "Not FT: a record that stays as it is holds the first touch.")
	}
	switch {
	case slices.Contains(parts, "LC"):
		all = append(all, "LC: no form and no call of the journey is earlier.")
	case lead != nil:
		all = append(all, fmt.Sprintf("PostLC: the lead creation is the %s of %s.", lead.Kind, moment(lead.At)))
	default:
		all = append(all, "PostLC: a record that stays as it is holds the lead creation.")
	}
	return all
}
