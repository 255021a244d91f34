package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

type trialAnswer struct {
	Answers []triedRow
	Notes   []string
	Earlier int  `json:"earlier_records_deleted"`
	All     bool `json:"all_deleted"`
}

// try runs check --try-write against a sandbox and returns the answers by row.
func (b *bench) try() (map[int]string, trialAnswer) {
	b.t.Helper()
	out, errs, code := b.run("check", "--try-write", "-o", "json")
	var a trialAnswer
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != exitDone || !a.All {
		b.t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	rows := map[int]string{}
	for _, r := range a.Answers {
		rows[r.Row] = r.Answer
	}
	b.nothingLeft()
	return rows, a
}

// nothingLeft fails where a marked record is left.
func (b *bench) nothingLeft() {
	b.t.Helper()
	for _, object := range []string{touchpoints, persons, "Task", "Lead"} {
		if left := b.org.Records(object); len(left) != 0 {
			b.t.Errorf("%d records of %s are left: %v", len(left), object, left[0])
		}
	}
}

func sandbox(t *testing.T, env ...string) *bench {
	t.Helper()
	return newBenchOf(t, orgsim.Config{Sandbox: true}, env...)
}

func TestTryWrite(t *testing.T) {
	for name, c := range map[string]struct {
		shape func(*orgsim.Org)
		want  map[int]string // instead of the usual answer
	}{
		"an org as the metadata describes it": {func(*orgsim.Org) {}, nil},
		"equal values pass": {func(o *orgsim.Org) { o.EqualMasterPasses(true) },
			map[int]string{rowEqual: "it passes", rowEqualKey: "it passes"}},
		"the pair is refused": {func(o *orgsim.Org) { o.KeysFreedLate(true) },
			map[int]string{rowMove: "no: .*DUPLICATE_VALUE.*; 1 records have the key"}},
		"keys without regard to case": {func(o *orgsim.Org) {
			o.Schema(touchpoints).Change("bizible2__UniqueId__c", func(f *orgsim.Field) { f.CaseSensitive = false })
		}, map[int]string{rowCase: "no: it finds the record, .*", 1: "confirmed; otherwise here: bizible2__Bizible_Touchpoint__c: External ID true, unique true, case-sensitive false, length 255"}},
		"longer and fewer fields": {func(o *orgsim.Org) {
			o.Schema(touchpoints).Change("bizible2__Browser__c", func(f *orgsim.Field) { f.Length = 255 })
			o.Schema(touchpoints).RemoveField("bizible2__Account__c")
			o.Schema(orgsim.Attribution).HideField("bizible2__Revenue_U_Shaped__c")
		}, map[int]string{3: "confirmed; otherwise here: bizible2__Browser__c 255", 4: "confirmed; otherwise here: bizible2__Bizible_Touchpoint__c shows no Account",
			5: "confirmed; otherwise here: Revenue_U_Shaped: visible false, computed false"}},
		"a validation rule refuses some": {func(o *orgsim.Org) {
			o.Schema(touchpoints).AddRule(orgsim.Rule{Message: "no | more", Fails: func(r map[string]any) bool {
				return strings.Contains(fmt.Sprint(r["bizible2__UniqueId__c"]), "-five-3-")
			}})
		}, map[int]string{rowFive: "no: 40 of 50 records were written; FIELD_CUSTOM_VALIDATION_EXCEPTION no / more"}},
		"an own Name": {func(o *orgsim.Org) {
			o.Schema(touchpoints).AddField(orgsim.Field{Name: "Name", Length: 80, AutoNumber: true, ReadOnly: true, NotNillable: true})
		}, map[int]string{rowName: `no: a Name like "[0-9]+"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sandbox(t)
			c.shape(b.org)
			rows, _ := b.try()
			const refused = "INVALID_FIELD_FOR_INSERT_UPDATE Unable to create/update fields: bizible2__Bizible_Person__c.*"
			usual := map[int]string{rowName: "yes", rowTogether: "yes", rowNoPerson: "yes: REQUIRED_FIELD_MISSING .*", rowWithout: "yes", rowOther: "yes: " + refused,
				rowEqual: "refused: " + refused, rowEqualKey: "refused: " + refused, rowCase: "yes",
				1: "confirmed; so here", 2: "confirmed; so here", 3: "confirmed; so here", 4: "confirmed; so here", 5: "confirmed; so here",
				6: "confirmed", 25: "confirmed", 21: "open", 24: "open",
				rowFive: "yes: 50 records in five collections; the org counted 1 API calls", rowMove: "yes", rowRollback: "yes", rowCascade: "yes", rowHeaders: "yes", rowVisible: "yes"}
			for row, want := range usual {
				if other, ok := c.want[row]; ok {
					want = other
				}
				if !regexp.MustCompile("^" + want + "$").MatchString(rows[row]) {
					t.Errorf("row %d: %q, want %q", row, rows[row], want)
				}
			}
			if len(rows) != len(assumptions) {
				t.Errorf("%d rows, want %d", len(rows), len(assumptions))
			}
		})
	}
}

// TestTryWriteTable holds the printed table against docs/assumptions.md.
func TestTryWriteTable(t *testing.T) {
	out, errs, code := sandbox(t).run("check", "--try-write")
	if code != exitDone || !strings.Contains(out, "All records that were created are deleted.") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	doc, err := os.ReadFile("../../docs/assumptions.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || !regexp.MustCompile(`^ \d+ $`).MatchString(cells[0]) {
			continue
		}
		rows++
		if rows > len(assumptions) {
			t.Fatalf("more rows than assumptions: %s", line)
		}
		a := assumptions[rows-1]
		if strings.TrimSpace(cells[0]) != fmt.Sprint(a.number) || strings.TrimSpace(cells[1]) != a.text || strings.TrimSpace(cells[3]) != strings.ReplaceAll(a.state, "--try-write", "`--try-write`") {
			t.Errorf("docs/assumptions.md:\n%s\nwant %d | %s | … | %s", line, a.number, a.text, a.state)
		}
		printed := "| " + strings.TrimSpace(cells[0]) + " | " + a.text + " | "
		if !strings.Contains(out, printed) {
			t.Errorf("row %d is not printed", a.number)
		}
	}
	if rows != len(assumptions) {
		t.Errorf("%d rows in docs/assumptions.md, want %d", rows, len(assumptions))
	}
}

func TestTryWriteIsForSandboxes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, errs, code := b.run("check", "--try-write")
	if s := b.org.Requests(); code != exitConfig || !strings.Contains(errs, "sandbox only") || s.Created+s.Updated+s.Deleted+s.Failed != 0 {
		t.Errorf("production: exit %d, %+v: %s", code, s, errs)
	}
	b = sandbox(t)
	b.org.Schema("Organization").HideField("IsSandbox")
	if _, errs, code = b.run("check", "--try-write"); code != exitConfig || b.org.Requests().Created != 0 {
		t.Errorf("unknown: exit %d: %s", code, errs)
	}
}

// TestTryWriteCleansUp kills a run at its n-th write; the next one deletes what
// the killed one left.
func TestTryWriteCleansUp(t *testing.T) {
	for _, after := range []int{1, 3, 6, 9} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			b := sandbox(t)
			c := b.command(t.Context(), "check", "--try-write")
			reached := make(chan bool, 1)
			n := 0
			// The fault holds the write back, so that the kill finds the run in it.
			clear := b.org.Fault(orgsim.Fault{Op: orgsim.OpWrite, Nth: after + 1, Times: -1, Delay: time.Minute, Match: func(r orgsim.Request) bool {
				if r.Sub {
					return false
				}
				if n++; n == after+1 {
					reached <- true
				}
				return true
			}})
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			<-reached
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			clear()
			if _, a := b.try(); a.Earlier == 0 {
				t.Error("the killed run left nothing, or it was not found")
			}
		})
	}
}

func TestTryWriteSaysWhatIsRefused(t *testing.T) {
	b := sandbox(t)
	b.org.Schema("Lead").Access(func(o *orgsim.Object) { o.NoCreate = true })
	rows, a := b.try()
	if len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "The Lead was refused: CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY") || rows[rowMove] != "yes" {
		t.Errorf("without Leads: %q, %v", a.Notes, rows)
	}
	b.org.Schema(persons).Access(func(o *orgsim.Object) { o.NoCreate = true })
	if rows, a = b.try(); len(a.Notes) != 3 || rows[rowMove] != "not tried" || !strings.HasPrefix(rows[rowTogether], "no: ") {
		t.Errorf("without persons: %q, %v", a.Notes, rows)
	}
	// An interruption ends the trial and not the clean-up.
	b = sandbox(t)
	b.org.Fault(orgsim.Fault{Op: orgsim.OpUpdate, Times: -1, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Message: "TotalRequests Limit exceeded."})
	out, errs, code := b.run("check", "--try-write")
	if code != exitFailed || !strings.Contains(errs, "TotalRequests") || !strings.Contains(out, "| not tried |") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	b.nothingLeft()
}

func TestTryWritePermissionSet(t *testing.T) {
	b := sandbox(t)
	out, _, code := b.run("check", "--try-write", "--permission-set")
	var set permissionSetXML
	if err := xml.Unmarshal([]byte(out), &set); err != nil || code != exitDone {
		t.Fatalf("exit %d, %v", code, err)
	}
	lead := set.Objects[slices.IndexFunc(set.Objects, func(o objectPermission) bool { return o.Object == "Lead" })]
	if !lead.Create || !lead.Edit || !lead.Delete || !slices.Contains(set.User, userPermission{true, "EditTask"}) || set.Label == "callpoint" {
		t.Errorf("Lead %+v, user %v, label %s", lead, set.User, set.Label)
	}
	if err := b.org.DeployPermissionSet([]byte(out)); err != nil {
		t.Fatal(err)
	}
	if rows, a := b.try(); len(a.Notes) > 0 || rows[rowMove] != "yes" || rows[rowCascade] != "yes" || rows[4] != "confirmed; otherwise here: bizible2__Bizible_Touchpoint__c shows no Account" {
		t.Errorf("with these rights: %q, %v", a.Notes, rows)
	}
}

// TestCheckShowsTheMaster describes the person of the touchpoint as the package has it.
func TestCheckShowsTheMaster(t *testing.T) {
	t.Parallel()
	out, _, code := newBench(t).run("check")
	if code != exitDone || !strings.Contains(out, "ok       person_field      bizible2__Bizible_Person__c is a master-detail: set when a touchpoint is created, never changed") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
