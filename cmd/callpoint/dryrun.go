package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"callpoint/sync/engine"
)

// dryRun shows what the cycle would have written, against what Salesforce holds now.
func (p *program) dryRun(ctx context.Context, a *app, s engine.Summary) error {
	preview, err := a.engine.Preview(ctx)
	if err != nil {
		return verdict(s, err)
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(struct {
			engine.Summary
			DryRun engine.Preview `json:"dry_run"`
		}{s, preview})
	}
	for _, r := range preview.Records {
		fmt.Fprintf(p.stdout, "%-6s %s\n", r.Action, cmp.Or(r.Key, r.TaskID))
		p.printFields(r.Fields)
	}
	fmt.Fprintln(p.stdout, s)
	_, err = fmt.Fprintf(p.stdout, "Dry run, nothing was written: %d touchpoints would be created, %d changed, %d deleted, %d are up to date; %d persons would be created; %d Tasks would get a reason.\n",
		preview.Create, preview.Change, preview.Delete, preview.Leave, preview.Persons, preview.Reasons)
	return err
}

// printFields prints the fields that differ.
func (p *program) printFields(fields map[string]engine.FieldChange) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(p.stdout, "       %s: %s -> %s\n", name, shown(fields[name].From), shown(fields[name].To))
	}
}

func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "(empty)"
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
