package orgsim

import (
	"cmp"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is an org's edition and its settings. The zero value is a production
// org with the credentials of the package documentation.
type Config struct {
	Now   func() time.Time // nil: time.Now
	OrgID string           // 15 or 18 characters; default 00DHs0000000001 + suffix
	Log   *slog.Logger     // one line per request at debug level; nil: none

	DailyLimit int // API calls in 24 hours; default 15000
	PageSize   int // rows of a query page at most; default 2000

	// Credentials; the defaults are the Default constants.
	ClientID, ClientSecret            string
	Username, Password, SecurityToken string
	JWTKey                            *rsa.PublicKey // nil: a JWT's signature is not checked
	Sandbox                           bool           // Organization.IsSandbox; a JWT's audience is test.salesforce.com
	SessionTimeout                    time.Duration  // of inactivity; default 2h

	PackageVersion string // of the Marketo Measure package, as in 6.19

	// TriggerCPUPerRecord is what the org's own automation spends on each
	// record written. A transaction gets CPULimit (default 10s) in all.
	TriggerCPUPerRecord, CPULimit time.Duration
}

// The credentials that an org takes unless its Config names others.
const (
	DefaultClientID      = "3MVG9callpoint.simulated.consumer.key"
	DefaultClientSecret  = "simulated-consumer-secret"
	DefaultUsername      = "integration@example.com"
	DefaultPassword      = "simulated-password"
	DefaultSecurityToken = "SIMULATEDTOKEN"

	DefaultPackageVersion = "6.19"
)

// Org is a simulated Salesforce org. It is an http.Handler; its methods act inside the
// org, without the API.
type Org struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex // guards everything below, and every Object
	lastID   uint64
	tables   map[string]*table // by folded object name
	byPrefix map[string]*table
	nameObj  *Object
	userID   string // the API user
	tx       *tx    // of the request that is being handled
	sessions map[string]time.Time
	logins   int
	cursors  map[string]*cursor
	calls    []time.Time // API calls of the last 24 hours, oldest first
	faults   []*fault
	stats    Stats

	equalMasterPasses, keysFreedLate, refuseGzip bool
}

// New returns an org with the standard schema and no records but its
// Organization and its integration user.
func New(cfg Config) *Org {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.OrgID = To18(cmp.Or(cfg.OrgID, "00DHs0000000001"))
	cfg.DailyLimit = cmp.Or(cfg.DailyLimit, 15000)
	cfg.PageSize = cmp.Or(cfg.PageSize, maxPage)
	cfg.ClientID = cmp.Or(cfg.ClientID, DefaultClientID)
	cfg.ClientSecret = cmp.Or(cfg.ClientSecret, DefaultClientSecret)
	cfg.Username = cmp.Or(cfg.Username, DefaultUsername)
	cfg.Password = cmp.Or(cfg.Password, DefaultPassword)
	cfg.SecurityToken = cmp.Or(cfg.SecurityToken, DefaultSecurityToken)
	cfg.SessionTimeout = cmp.Or(cfg.SessionTimeout, 2*time.Hour)
	cfg.CPULimit = cmp.Or(cfg.CPULimit, 10*time.Second)
	cfg.PackageVersion = cmp.Or(cfg.PackageVersion, DefaultPackageVersion)
	o := &Org{cfg: cfg, log: cfg.Log, tables: map[string]*table{}, byPrefix: map[string]*table{},
		sessions: map[string]time.Time{}, cursors: map[string]*cursor{}}
	for _, obj := range standardSchema(&o.mu) {
		t := newTable(obj)
		o.tables[fold(obj.Name)] = t
		o.byPrefix[obj.KeyPrefix] = t
	}
	o.nameObj = nameObject(&o.mu)
	o.userID = o.newID("005")
	user := map[string]any{"Id": o.userID, "LastName": "Integration", "FirstName": "User", "Username": cfg.Username,
		"Email": cfg.Username, "IsActive": true}
	org := map[string]any{"Id": cfg.OrgID, "Name": "Simulated Org", "IsSandbox": cfg.Sandbox,
		"OrganizationType": "Developer Edition", "InstanceName": "SIM1", "TimeZoneSidKey": "America/Los_Angeles"}
	o.stamp(user, nil)
	o.stamp(org, nil)
	o.put(o.tables["user"], &row{id: o.userID}, user)
	o.put(o.tables["organization"], &row{id: cfg.OrgID}, org)
	o.addAccess()
	return o
}

// now is the org's clock in the whole seconds that it stamps.
func (o *Org) now() time.Time { return o.cfg.Now().UTC().Truncate(time.Second) }

// OrgID is the 18-character id of the org.
func (o *Org) OrgID() string { return o.cfg.OrgID }

// UserID is the 18-character id of the user that API clients log in as.
func (o *Org) UserID() string { return o.userID }

// Schema returns an object's description, or nil.
func (o *Org) Schema(object string) *Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.tables[fold(object)]; t != nil {
		return t.obj
	}
	return nil
}

// AddObject adds an object with its system fields and an owner. The prefix is
// the first three characters of its records' ids and must be new.
func (o *Org) AddObject(name, prefix string, fields ...Field) *Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(prefix) != 3 || o.byPrefix[prefix] != nil || o.tables[fold(name)] != nil {
		panic(fmt.Sprintf("orgsim: object %s or key prefix %q is taken", name, prefix))
	}
	t := newTable(owned(newObject(&o.mu, name, prefix, fields...)))
	o.tables[fold(name)], o.byPrefix[prefix] = t, t
	return t.obj
}

// Insert saves a record as a user inside the org would: validated and stamped,
// but free of the API user's field-level security. Read-only fields such as
// IsConverted may be given. CreatedDate and LastModifiedDate may be back-dated, as with
// the audit-field permission; SystemModstamp too, which a real org never
// allows, so that old data can be set up.
func (o *Org) Insert(object string, fields map[string]any) (id string, err error) {
	return o.InsertLate(object, fields, 0)
}

// InsertLate saves a record that is stamped now and seen by readers only after
// visibleAfter, as if its transaction took that long.
func (o *Org) InsertLate(object string, fields map[string]any, visibleAfter time.Duration) (id string, err error) {
	err = o.inside(object, func(t *table) *Error {
		r, e := o.insertRaw(t, fields)
		if e != nil {
			return e
		}
		if visibleAfter > 0 {
			r.before, r.visibleAt = nil, o.cfg.Now().Add(visibleAfter)
		}
		id = r.id
		return nil
	})
	return id, err
}

// Update changes a record as a user inside the org would.
func (o *Org) Update(object, id string, fields map[string]any) error {
	return o.UpdateLate(object, id, fields, 0)
}

// UpdateLate changes a record with a stamp of now, while readers see the old
// one until visibleAfter has passed.
func (o *Org) UpdateLate(object, id string, fields map[string]any, visibleAfter time.Duration) error {
	return o.inside(object, func(t *table) *Error {
		r, e := o.live(t, id)
		if e != nil {
			return e
		}
		old := o.view(r)
		if e := o.updateRaw(t, r, fields); e != nil {
			return e
		}
		if visibleAfter > 0 {
			r.before, r.visibleAt = old, o.cfg.Now().Add(visibleAfter)
		}
		return nil
	})
}

// Delete moves a record to the recycle bin: "query" no longer shows it,
// "queryAll" does, with a new SystemModstamp.
func (o *Org) Delete(object, id string) error {
	return o.inside(object, func(t *table) *Error {
		r, e := o.live(t, id)
		if e != nil {
			return e
		}
		o.delete(t, r)
		return nil
	})
}

// Purge removes a record for good, whether it is in the recycle bin or not, and the details that
// were deleted with it.
func (o *Org) Purge(object, id string) error {
	return o.inside(object, func(t *table) *Error {
		r := t.rows[To18(id)]
		if r == nil {
			return noSuchID()
		}
		if r.fields["IsDeleted"] != true {
			o.delete(t, r)
		}
		o.purge(t, r)
		return nil
	})
}

// inside runs a change of the org's own under its lock.
func (o *Org) inside(object string, change func(*table) *Error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tables[fold(object)]
	if t == nil {
		return unsupportedType(object)
	}
	if e := change(t); e != nil {
		return fmt.Errorf("%s: %w", t.obj.Name, e)
	}
	return nil
}

// Records returns an object's records that are visible now and not deleted,
// sorted by Id. Values are as JSON decoding of an API answer gives them.
func (o *Org) Records(object string) []map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []map[string]any
	if t := o.tables[fold(object)]; t != nil {
		for _, r := range t.order {
			if rec := o.view(r); rec != nil && rec["IsDeleted"] != true {
				all = append(all, o.export(t.obj, rec))
			}
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int { return strings.Compare(a["Id"].(string), b["Id"].(string)) })
	return all
}

// Get returns one record, also a deleted one, which has IsDeleted true.
func (o *Org) Get(object, id string) (map[string]any, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tables[fold(object)]
	if t == nil || t.rows[To18(id)] == nil {
		return nil, false
	}
	rec := o.view(t.rows[To18(id)])
	if rec == nil {
		return nil, false
	}
	return o.export(t.obj, rec), true
}

func (o *Org) export(obj *Object, rec map[string]any) map[string]any {
	out := make(map[string]any, len(obj.fields))
	for _, f := range obj.fields {
		out[f.Name] = plain(f, o.value(f, rec))
	}
	return out
}
