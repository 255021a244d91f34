package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callpoint/sync/monitor"
	"callpoint/when"

	"github.com/spf13/cobra"
)

func (p *program) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Report whether calls are being credited: each check and the last cycles",
		Long: `status prints the content of /healthz for people. It asks the running daemon; without one
(cron and --sync-once) it reads the history of the last cycles from the store.

Exit code 0: ok or degraded; 1: a check is failing; 3: touchpoints are parked.`,
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
	fmt.Fprintf(&b, "%s: %s\n", p.paint(colours[v.Status], string(v.Status)), v.Sentence)
	if v.Next != "" {
		fmt.Fprintln(&b, v.Next)
	}
	fmt.Fprintln(&b, v.Tag)
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
		at := when.Second(c.At, p.zone())
		what := c.Summary.String()
		if c.Error != "" {
			what = "failed: " + c.Error
		}
		fmt.Fprintf(&b, "  %s  %s", at, strings.TrimLeft(fill(what, strings.Repeat(" ", len(at)+4), width), " "))
	}
	return b.String()
}
