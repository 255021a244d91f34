package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"

	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	var permissions bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check configuration, login, objects, fields and permissions before the first run",
		Long: `check logs in and looks at everything that callpoint needs of the org, without writing.
It prints one line for each thing and, for what fails, the setup step that cures it; it
exits with 78 if anything failed. With --permission-set it prints the least-privilege
permission set for the integration user as metadata XML, for the configured objects and
fields, and does not log in.`,
		Example: "  callpoint check\n  callpoint check --permission-set > callpoint.permissionset-meta.xml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.config()
			if err != nil {
				return err
			}
			if permissions {
				return p.permissionSet(c)
			}
			return p.check(cmd.Context(), c)
		},
	}
	c.Flags().BoolVar(&permissions, "permission-set", false, "print the permission set that callpoint needs, as metadata XML")
	return c
}

// A finding is one line of check.
type finding struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning or failed
	Detail string `json:"detail"`
	Cure   string `json:"cure,omitempty"`
}

// A checker looks at an org, and gathers what it finds.
type checker struct {
	cfg      Config
	settings *mapping.Settings
	client   *salesforce.Client
	findings []finding
}

func (k *checker) ok(name, format string, args ...any) {
	k.findings = append(k.findings, finding{name, "ok", fmt.Sprintf(format, args...), ""})
}

func (k *checker) warn(name, cure, format string, args ...any) {
	k.findings = append(k.findings, finding{name, "warning", fmt.Sprintf(format, args...), cure})
}

func (k *checker) fail(name, cure, format string, args ...any) {
	k.findings = append(k.findings, finding{name, "failed", fmt.Sprintf(format, args...), cure})
}

func (p *program) check(ctx context.Context, c Config) error {
	findings, err := p.findings(ctx, c)
	if err != nil {
		return err
	}
	failures := countFailed(findings)
	if p.output == "json" {
		err = json.NewEncoder(p.stdout).Encode(map[string]any{"findings": findings, "failed": failures})
	} else {
		_, err = fmt.Fprint(p.stdout, p.findingsText(findings))
	}
	if failures > 0 {
		err = errors.Join(err, misconfigured(fmt.Errorf("%d of %d checks failed", failures, len(findings))))
	}
	return err
}

// findings runs every check.
func (p *program) findings(ctx context.Context, c Config) ([]finding, error) {
	r, err := c.rules()
	if err != nil {
		return nil, misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	sc := c.salesforce()
	if testOnlyTune != nil {
		testOnlyTune(&sc)
	}
	client, err := salesforce.New(sc)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("configuration:\n%w", errors.Join(err, c.Unread)))
	}
	defer client.Close()
	k := &checker{cfg: c, settings: r.settings, client: client}
	k.ok("configuration", "all settings are valid")
	k.store()
	k.org(ctx)
	return k.findings, nil
}

func countFailed(findings []finding) (n int) {
	for _, f := range findings {
		if f.Status == "failed" {
			n++
		}
	}
	return n
}

var findingColours = map[string]string{"ok": green, "warning": yellow, "failed": red}

// findingsText sets findings in even columns: one line each, broken on a terminal alone.
func (p *program) findingsText(all []finding) string {
	names, width := 0, p.terminal()
	for _, f := range all {
		names = max(names, len(f.Name))
	}
	if width == 0 {
		width = math.MaxInt
	}
	indent := strings.Repeat(" ", len("warning  ")+names+2)
	var b strings.Builder
	for _, f := range all {
		b.WriteString(p.paint(findingColours[f.Status], fmt.Sprintf("%-7s", f.Status)))
		fmt.Fprintf(&b, "  %-*s  %s", names, f.Name, strings.TrimLeft(fill(f.Detail, indent, width), " "))
		if f.Cure != "" {
			b.WriteString(fill(f.Cure, indent, width))
		}
	}
	return b.String()
}

// store says whether the store opens. One that a daemon has open is well.
func (k *checker) store() {
	if _, err := os.Stat(k.cfg.Store); errors.Is(err, os.ErrNotExist) {
		k.ok("store", "%s does not exist yet; the first run creates it", k.cfg.Store)
		return
	}
	s, err := store.Open(k.cfg.Store, k.cfg.storeOptions())
	switch {
	case errors.Is(err, store.ErrInUse):
		k.ok("store", "%s: in use by a running callpoint", k.cfg.Store)
		return
	case err != nil:
		k.fail("store", "CALLPOINT_STORE names the file; callpoint needs its own.", "%v", err)
		return
	}
	if err := s.Close(); err != nil {
		k.fail("store", "Check the disk.", "%v", err)
		return
	}
	k.ok("store", "%s opens", k.cfg.Store)
}

// org looks at the org, as far as it lets us.
func (k *checker) org(ctx context.Context) {
	id, err := k.client.Login(ctx)
	if err != nil {
		if e, ok := errors.AsType[*salesforce.Error](err); ok {
			err = e.WithoutPause()
		}
		k.fail("login", salesforce.Cure(err), "%v", err)
		return
	}
	k.endLoginPause(ctx)
	k.ok("login", "org %s at %s, user %s", id.OrgID, id.InstanceURL, orUnknown(id.UserID))
	task, ok := k.describe(ctx, "Task")
	if !ok {
		return
	}
	k.ok("api_access", "the API answers")
	k.task(ctx, task)
	if tp, ok := k.describe(ctx, k.cfg.TouchpointObject); ok {
		k.touchpoint(tp)
		k.double(ctx)
	}
	if k.cfg.Persons != engine.PersonsOff {
		if person, ok := k.describe(ctx, personObject); ok {
			k.person(person)
		}
	}
	k.budget()
	k.clock()
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown (an access token does not tell)"
	}
	return s
}

func (k *checker) describe(ctx context.Context, object string) (salesforce.Object, bool) {
	o, err := k.client.Describe(ctx, object)
	if err != nil {
		k.fail(object, salesforce.Cure(err), "%v", err)
		return o, false
	}
	return o, true
}

const permissionSetCure = "Setup, Permission Sets: grant it to the integration user; callpoint check --permission-set prints one."

// task checks what is read of Tasks, and that the query of the poll is one.
func (k *checker) task(ctx context.Context, task salesforce.Object) {
	if !task.Queryable {
		k.fail("Task", permissionSetCure, "the user may not read Tasks")
		return
	}
	if _, ok := task.Field(k.settings.BizibleIDField); !ok {
		k.fail("Task", "Install the Marketo Measure package 6.7 or later, grant read access to the field in a permission set, or set CALLPOINT_BIZIBLE_ID_FIELD.",
			"no field %s that this user may read", k.settings.BizibleIDField)
		return
	}
	dropped := k.settings.DropTaskFields(func(field string) bool {
		_, ok := task.Field(field)
		return !ok && !strings.Contains(field, ".")
	})
	if len(dropped) > 0 {
		k.warn("Task", "Grant read access to them in a permission set, or leave it so: callpoint does without.", "not there, or hidden: %s", strings.Join(dropped, ", "))
	} else {
		k.ok("Task", "every field that is read is there: %s", strings.Join(k.settings.TaskFields(), ", "))
	}
	k.reason(task)
	filter := k.cfg.TaskFilter
	if filter == "" {
		filter = engine.DefaultTaskFilter(k.settings.BizibleIDField)
	}
	since := k.cfg.Start.from(time.Now())
	soql := fmt.Sprintf("SELECT %s FROM Task WHERE (%s) AND CreatedDate >= %s ORDER BY SystemModstamp, Id LIMIT 200",
		strings.Join(k.settings.TaskFields(), ", "), filter, salesforce.DateTime(since))
	page, err := k.client.Query(ctx, soql, salesforce.QueryOptions{All: true})
	switch {
	case err != nil && salesforce.Classify(err) == salesforce.NarrowQuery:
		k.warn("task_query", "Grant View All Data to the integration user; without it callpoint reads shorter spans of time, which takes more API calls.", "%v", err)
	case err != nil:
		k.fail("task_query", salesforce.Cure(err), "%v", err)
	case len(page.Records) == 0:
		k.warn("task_query", "If there are calls, check CALLPOINT_TASK_FILTER and CALLPOINT_START, and that the user may see other users' Tasks (View All on Leads and Contacts, or View All Data).",
			"no call since %s is visible", since.Format(time.DateOnly))
	default:
		with := 0
		for _, r := range page.Records {
			if id, _ := r[k.settings.BizibleIDField].(string); id != "" {
				with++
			}
		}
		if with == 0 {
			k.warn("task_query", "The call-tracking vendor must copy the _biz_uid cookie into this field: take it up with the vendor.",
				"of %d calls none carries a BizibleId in %s", len(page.Records), k.settings.BizibleIDField)
			return
		}
		k.ok("task_query", "%d of %d calls carry a BizibleId", with, len(page.Records))
	}
}
