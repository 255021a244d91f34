package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"

	"github.com/spf13/cobra"
)

func (p *program) checkCommand() *cobra.Command {
	var permissions, tryWrite bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check configuration, login, objects, fields and permissions before the first run",
		Long: `Logs in and verifies everything callpoint needs in the org. Nothing is written. Every
check runs, whatever the others find, and prints one line that begins with ok, warning
or failed; a line that is not ok ends with what to do. The exit status is 78 if a check
failed.

--permission-set prints the least-privilege permission set for the integration user as
metadata XML, for the configured objects and fields, without a login.

--try-write answers the open rows of docs/assumptions.md, in a sandbox only: it creates
a Lead, a Task, persons and touchpoints of its own (names and keys begin with
callpoint-try-), tries what callpoint relies on, deletes them and prints the table with
the answers. With --permission-set it prints the permission set for that.`,
		Example: `  callpoint check
  callpoint check --permission-set > callpoint.permissionset-meta.xml
  callpoint check --try-write --permission-set > callpoint_try.permissionset-meta.xml
  callpoint check --try-write`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.config()
			if err != nil {
				return err
			}
			switch {
			case permissions:
				return p.permissionSet(c, tryWrite)
			case tryWrite:
				return p.tryWrite(cmd.Context(), c)
			}
			return p.check(cmd.Context(), c)
		},
	}
	c.Flags().BoolVar(&permissions, "permission-set", false, "print the permission set that callpoint needs, as metadata XML")
	c.Flags().BoolVar(&tryWrite, "try-write", false, "in a sandbox, try the open assumptions with records of its own and delete them")
	return c
}

// A finding is one line of check.
type finding struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning or failed
	Detail string `json:"detail"`
	Cure   string `json:"cure,omitempty"`
}

// A checker checks an org and collects the findings.
type checker struct {
	cfg      Config
	settings *mapping.Settings
	client   *salesforce.Client
	findings []finding
	report   func(finding) // called for each finding; may be nil
	waiting  func(string)  // called before each request with what is asked; may be nil
}

func (k *checker) add(f finding) {
	k.findings = append(k.findings, f)
	if k.report != nil {
		k.report(f)
	}
}

func (k *checker) ok(name, format string, args ...any) {
	k.add(finding{name, "ok", fmt.Sprintf(format, args...), ""})
}

func (k *checker) warn(name, cure, format string, args ...any) {
	k.add(finding{name, "warning", fmt.Sprintf(format, args...), cure})
}

func (k *checker) fail(name, cure, format string, args ...any) {
	k.add(finding{name, "failed", fmt.Sprintf(format, args...), cure})
}

// checker makes a checker of the configured org.
func (p *program) checker(c Config) (*checker, error) {
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
		return nil, misconfigured(fmt.Errorf("configuration:\n%w", cmp.Or(c.Unread, err)))
	}
	return &checker{cfg: c, settings: r.settings, client: client}, nil
}

func (p *program) check(ctx context.Context, c Config) error {
	report := p.printFinding
	if p.output == "json" {
		report = nil
	}
	findings, err := p.findings(ctx, c, report)
	if err != nil {
		return err
	}
	failures := countFailed(findings)
	if p.output == "json" {
		err = json.NewEncoder(p.stdout).Encode(map[string]any{"findings": findings, "failed": failures})
	}
	if failures > 0 {
		err = errors.Join(err, misconfigured(fmt.Errorf("%d of %d checks failed", failures, len(findings))))
	}
	return err
}

// findings runs every check and calls report, which may be nil, for each finding
// as soon as it is known.
func (p *program) findings(ctx context.Context, c Config, report func(finding)) ([]finding, error) {
	k, err := p.checker(c)
	if err != nil {
		return nil, err
	}
	defer k.client.Close()
	if k.report = report; report != nil {
		k.waiting = p.showWaiting
	}
	k.ok("configuration", "all settings are valid")
	k.store()
	p.checkJourneys(ctx, k)
	p.checkNoPerson(ctx, k)
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

// nameColumn is the width of the findings' names; longer ones push the text to
// the right.
const nameColumn = 16

// printFinding writes a finding: one line, which is broken on a terminal alone.
func (p *program) printFinding(f finding) {
	p.showWaiting("")
	width := p.terminal()
	if width == 0 {
		width = math.MaxInt
	}
	text := f.Detail
	if f.Cure != "" {
		text = strings.TrimRight(text, ".") + ". " + f.Cure
	}
	head := fmt.Sprintf("%-*s  ", nameColumn, f.Name)
	indent := strings.Repeat(" ", len("warning  ")+nameColumn+2)
	body := fill(text, strings.Repeat(" ", len("warning  ")+len(head)), width)
	if len(head) > nameColumn+2 && strings.Count(body, "\n") > 1 {
		head, body = head+"\n", fill(text, indent, width)
	} else {
		body = strings.TrimLeft(body, " ")
	}
	fmt.Fprintf(p.stdout, "%s  %s%s", p.paint(findingColours[f.Status], fmt.Sprintf("%-7s", f.Status)), head, body)
}

// showWaiting shows on a terminal what check is waiting for; the next line
// replaces it.
func (p *program) showWaiting(what string) {
	switch {
	case p.terminal() == 0:
	case what == "":
		fmt.Fprint(p.stdout, "\r\x1b[K")
	default:
		fmt.Fprintf(p.stdout, "\r\x1b[Kwaiting for Salesforce: %s", what)
	}
}

func (k *checker) wait(what string) {
	if k.waiting != nil {
		k.waiting(what)
	}
}

// store checks that the store opens. One that a daemon has open is well.
func (k *checker) store() {
	if !k.cfg.storeExists() {
		k.ok("store", "%s does not exist yet; the first run creates it", k.cfg.storeName())
		return
	}
	s, err := store.Open(k.cfg.Store, k.cfg.storeOptions())
	switch {
	case errors.Is(err, store.ErrInUse):
		k.ok("store", "%s is in use by a running callpoint", k.cfg.storeName())
		return
	case err != nil:
		k.fail("store", "CALLPOINT_STORE names the file; callpoint needs its own.", "%v", err)
		return
	}
	if err := s.Close(); err != nil {
		k.fail("store", "Check the disk.", "%v", err)
		return
	}
	k.ok("store", "%s opens", k.cfg.storeName())
}
