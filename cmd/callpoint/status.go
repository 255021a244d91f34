package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callpoint/sync/monitor"

	"github.com/spf13/cobra"
)

func (p *program) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether calls get their credit: each check, the backlog, the last cycles",
		Long: `status says what /healthz says, for people. It asks the running daemon; where none runs
(cron and --sync-once), it tells from the store how the last cycles went.

Exit code 0: ok or degraded; 1: a check is failing; 3: touchpoints stand parked.`,
		Example: `  callpoint status
  callpoint status --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v monitor.StatusView
			if err := p.ask(cmd.Context(), http.MethodGet, "/v1/status", nil, &v); err != nil {
				return err
			}
			var err error
			if p.output == "json" {
				err = json.NewEncoder(p.stdout).Encode(v.Health)
			} else {
				_, err = fmt.Fprint(p.stdout, p.statusText(v, time.Now()))
			}
			switch {
			case err != nil:
				return failed(err)
			case v.Status == monitor.Failing:
				return &exitError{code: exitFailed}
			case v.Backlog.Parked > 0:
				return &exitError{code: exitParked}
			}
			return nil
		},
	}
}

var colours = map[monitor.Status]string{monitor.OK: green, monitor.Degraded: yellow, monitor.Failing: red}

func (p *program) statusText(v monitor.StatusView, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "callpoint is %s\n\n", p.paint(colours[v.Status], string(v.Status)))
	width := textWidth
	if t := p.terminal(); t > 0 {
		width = t
	}
	for _, c := range v.Checks {
		detail := fill(c.Detail, strings.Repeat(" ", 25), width)
		fmt.Fprintf(&b, "  %-13s  %s %s", c.Name, p.paint(colours[c.Status], fmt.Sprintf("%-8s", c.Status)), strings.TrimLeft(detail, " "))
	}
	if len(v.Cycles) > 0 {
		b.WriteString("\n" + p.paint(bold, "Last cycles") + "\n")
	}
	for _, c := range v.Cycles[:min(5, len(v.Cycles))] {
		what := c.Summary.String()
		if c.Error != "" {
			what = "failed: " + c.Error
		}
		fmt.Fprintf(&b, "  %s  %s", c.At.UTC().Format("2006-01-02 15:04:05"), strings.TrimLeft(fill(what, strings.Repeat(" ", 23), width), " "))
	}
	return b.String()
}
