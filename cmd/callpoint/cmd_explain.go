package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"callpoint/sync/monitor"

	"github.com/spf13/cobra"
)

func (p *program) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain TASK_ID",
		Short: "Explain why a call is (not) matched to a web session",
		Long: `explain answers for one call: the Task as it was read, the call time and where it came
from, the web sessions around it with their distances, the row of the channel rules
that decided, the touchpoint field by field, Salesforce's answer, and what to do.

It asks the running daemon; where none runs, it reads the store. A Task that callpoint
never read gives exit code 1.`,
		Example: `  callpoint explain 00THs00000TestAAAQ
  callpoint explain 00THs00000TestAAAQ --output json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v monitor.CallView
			if err := p.ask(cmd.Context(), http.MethodGet, "/v1/calls/"+pathEscape(args[0]), nil, &v); err != nil {
				return err
			}
			if p.output == "json" {
				return json.NewEncoder(p.stdout).Encode(v)
			}
			_, err := fmt.Fprint(p.stdout, p.explanation(monitor.Explain(v, p.zone())))
			return err
		},
	}
}

// textWidth is how wide sentences are set.
const textWidth = 88

func (p *program) explanation(e monitor.Explanation) string {
	width := textWidth
	if t := p.terminal(); t > 0 {
		width = min(width, t)
	}
	var b strings.Builder
	b.WriteString(p.paint(bold, plain(e.Title)) + "\n\n")
	b.WriteString(fill(e.Answer, "", width))
	if e.Cure != "" {
		b.WriteString("\n" + p.paint(bold, "What to do") + "\n" + fill(e.Cure, "  ", width))
	}
	for _, s := range e.Evidence {
		b.WriteString("\n" + p.paint(bold, s.Title) + "\n")
		for _, text := range s.Text {
			b.WriteString(fill(text, "  ", width))
		}
		longest := 0
		for _, row := range s.Rows {
			longest = max(longest, len(row.Name))
		}
		for _, row := range s.Rows {
			if longest > 50 { // sentences: a name that long has its value below
				b.WriteString(fill(row.Name, "  ", width) + fill(row.Value, "    ", width))
				continue
			}
			fmt.Fprintf(&b, "  %-*s  %s\n", longest, plain(row.Name), plain(row.Value))
		}
	}
	return b.String()
}
