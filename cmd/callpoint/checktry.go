package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"callpoint/sync/salesforce"
)

// tryMark begins every key, name and subject of the records that --try-write
// creates. It differs from callpoint's own keys, so that no other command takes
// them for its records.
const tryMark = "callpoint-try-"

// cleanTime is how long the clean-up may take after an interruption.
const cleanTime = 2 * time.Minute

// A trial tries the open assumptions in a sandbox.
type trial struct {
	*checker
	mark    string // tryMark and what tells this run from others
	answers map[int]string
	notes   []string
	lead    string // record ids
	task    string
	persons [2]string
	point   string
}

// A triedRow is a row of the printed table.
type triedRow struct {
	Row        int    `json:"row"`
	Assumption string `json:"assumption"`
	Answer     string `json:"answer"`
}

// tryWrite runs the trial and prints the table of assumptions with its answers.
// Whatever happens in between, the records are deleted.
func (p *program) tryWrite(ctx context.Context, c Config) (err error) {
	k, err := p.checker(c)
	if err != nil {
		return err
	}
	defer k.client.Close()
	if p.output != "json" {
		k.waiting = p.showWaiting
	}
	t := &trial{checker: k, answers: map[int]string{}, notes: []string{},
		mark: fmt.Sprintf("%s%s-%d", tryMark, time.Now().UTC().Format("20060102T150405"), os.Getpid())}
	if err := t.sandbox(ctx); err != nil {
		return err
	}
	before, err := t.clean(ctx)
	if err != nil {
		return failed(fmt.Errorf("records of an earlier run (names and keys begin with %s) could not be deleted: %w", tryMark, err))
	}
	tried := t.run(ctx)
	undone, done := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer done()
	_, err = t.clean(undone)
	p.showWaiting("")
	if err != nil {
		err = fmt.Errorf("not everything was deleted; run callpoint check --try-write again, or delete what begins with %s: %w", tryMark, err)
	}
	if err = errors.Join(p.printTrial(t, before, err == nil), tried, err); err != nil {
		return failed(err)
	}
	return nil
}

// sandbox refuses every org that does not call itself a sandbox.
func (t *trial) sandbox(ctx context.Context) error {
	t.wait("login")
	if _, err := t.client.Login(ctx); err != nil {
		return failed(fmt.Errorf("login: %w. %s", err, salesforce.Cure(err)))
	}
	t.endLoginPause(ctx)
	page, err := t.query(ctx, "SELECT IsSandbox FROM Organization")
	switch {
	case err != nil:
		return misconfigured(fmt.Errorf("--try-write runs in a sandbox only, and the org does not say whether it is one: %w", err))
	case len(page.Records) != 1 || page.Records[0]["IsSandbox"] != true:
		return misconfigured(errors.New("--try-write runs in a sandbox only: this is a production org, whose automation would act on the records; nothing was written"))
	}
	return nil
}

// answer records what was found out about a row.
func (t *trial) answer(row int, format string, args ...any) {
	t.answers[row] = fmt.Sprintf(format, args...)
}

// run tries one assumption after the other. What one finds keeps no other from
// running, unless it needs the record.
func (t *trial) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{t.shape, t.create, t.without, t.update, t.otherCase, t.five, t.move, t.rollback, t.cascade} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("trial: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("trial: %w", err)
		}
	}
	switch _, clock := t.client.ServerClock(); {
	case t.client.Usage().Max > 0 && clock:
		t.answer(rowHeaders, "yes")
	default:
		t.answer(rowHeaders, "no: API usage known %v, time known %v", t.client.Usage().Max > 0, clock)
	}
	return nil
}

// refusal is a record's error in a few words, or "".
func refusal(e *salesforce.Error) string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.Code + " " + e.Message)
}

// upsert writes records of several objects in one request. The error is the
// request's; records have their own.
func (t *trial) upsert(ctx context.Context, what string, batches ...salesforce.Batch) ([][]salesforce.Result, error) {
	t.wait(what)
	results, err := t.client.Upsert(ctx, batches)
	if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
		return nil, err
	}
	return results, nil
}

// clean deletes the marked records of this run and of those before it, and
// returns how many there were.
func (t *trial) clean(ctx context.Context) (deleted int, err error) {
	for _, x := range []struct{ object, field string }{
		{t.cfg.TouchpointObject, t.cfg.ExternalIDField}, {personObject, personKey}, {"Task", "Subject"}, {"Lead", "LastName"},
	} {
		for {
			page, err := t.query(ctx, fmt.Sprintf("SELECT Id FROM %s WHERE %s LIKE '%s%%' LIMIT 200", x.object, x.field, tryMark))
			if isHidden(err) {
				break // nothing was created there
			}
			if err != nil {
				return deleted, err
			}
			ids := idsOf(page)
			if len(ids) == 0 {
				break
			}
			t.wait(fmt.Sprintf("delete %d records of %s", len(ids), x.object))
			results, err := t.client.Delete(ctx, ids)
			if err != nil {
				return deleted, err
			}
			for _, r := range results {
				if r.Err != nil {
					return deleted, r.Err
				}
				deleted++
			}
		}
	}
	return deleted, nil
}

// printTrial writes the table of assumptions with the answers.
func (p *program) printTrial(t *trial, before int, clean bool) error {
	var rows []triedRow
	for _, a := range assumptions {
		answer, ok := t.answers[a.number]
		switch {
		case !ok && a.state == tryOpen:
			answer = "not tried"
		case !ok:
			answer = a.state
		}
		rows = append(rows, triedRow{a.number, a.text, strings.Join(strings.Fields(strings.ReplaceAll(answer, "|", "/")), " ")})
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(map[string]any{"answers": rows, "notes": t.notes, "earlier_records_deleted": before, "all_deleted": clean})
	}
	var b strings.Builder
	if before > 0 {
		fmt.Fprintf(&b, "%d records of an earlier run were deleted first.\n\n", before)
	}
	b.WriteString("| # | assumption | answer |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", r.Row, r.Assumption, r.Answer)
	}
	for _, note := range t.notes {
		b.WriteString("\n" + note + "\n")
	}
	if clean {
		b.WriteString("\nAll records that were created are deleted. Please send this table to the project: it answers docs/assumptions.md.\n")
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}
