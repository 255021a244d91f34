package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"callpoint/sync/monitor"

	"github.com/spf13/cobra"
)

func (p *program) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain TASK_ID",
		Short: "Say why a call is (not) tied to a web session, with all the evidence",
		Long: `explain answers for one call: the Task as it was read, the call time and where it came
from, the web sessions around it with their distances, the row of the channel rules
that decided, the touchpoint field by field, what Salesforce said, and what to do.

It asks the running daemon; where none runs, it reads the store. A Task that callpoint
never read gives exit code 1.`,
		Example: `  callpoint explain 00THs00000TestAAAQ
  callpoint explain 00THs00000TestAAAQ --output json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v monitor.CallView
			if err := p.ask(cmd.Context(), http.MethodGet, "/v1/calls/"+url.PathEscape(args[0]), nil, &v); err != nil {
				return err
			}
			if p.output == "json" {
				return json.NewEncoder(p.stdout).Encode(v)
			}
			_, err := fmt.Fprint(p.stdout, p.explanation(monitor.Explain(v)))
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

func (p *program) callsCommand() *cobra.Command {
	var reason, state, since string
	var limit int
	c := &cobra.Command{
		Use:   "calls",
		Short: "List calls with their reason and state, newest first",
		Long: `calls lists the calls that were read, by call time, newest first. Reasons: matched,
matched_clock_skew, held, before_collection, no_bizible_id, unknown_visitor,
outside_window, session_already_credited, task_deleted. States: pending, written,
unchanged, retrying, parked.

It asks the running daemon; where none runs, it reads the store.`,
		Example: `  callpoint calls --since 24h
  callpoint calls --reason unknown_visitor --since 7d
  callpoint calls --state parked --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := monitor.ParseCallQuery(reason, state, since, fmt.Sprint(limit), time.Now()); err != nil {
				return usage(fmt.Errorf("--%w", err))
			}
			q := url.Values{"reason": {reason}, "state": {state}, "since": {since}, "limit": {fmt.Sprint(limit)}}
			var list monitor.CallList
			if err := p.ask(cmd.Context(), http.MethodGet, "/v1/calls?"+q.Encode(), nil, &list); err != nil {
				return err
			}
			if p.output == "json" {
				return json.NewEncoder(p.stdout).Encode(list)
			}
			_, err := fmt.Fprint(p.stdout, p.callTable(list))
			return err
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "only calls with this `REASON`")
	c.Flags().StringVar(&state, "state", "", "only calls whose touchpoint has this `STATE`")
	c.Flags().StringVar(&since, "since", "", "only calls since `T`: a day, an RFC 3339 time, or a span back such as 36h or 7d")
	c.Flags().IntVar(&limit, "limit", 200, "at most `N` calls")
	return c
}

func (p *program) callTable(list monitor.CallList) string {
	if len(list.Calls) == 0 {
		return "no such calls\n"
	}
	var rows [][]string
	for _, v := range list.Calls {
		state := string(v.State)
		if state == "" {
			state = "-"
		}
		if v.Salesforce.Code != "" {
			state += " " + v.Salesforce.Code
		}
		channel := "-"
		if v.Session != nil {
			channel = v.Session.ChannelPath
		}
		rows = append(rows, []string{v.CallTime.Format("2006-01-02 15:04"), v.TaskID, string(v.Reason), state, channel, v.Subject})
	}
	text := p.table([]string{"CALL TIME", "TASK", "REASON", "STATE", "SESSION'S CHANNEL", "SUBJECT"}, rows)
	if list.More {
		text += "there are older ones: --limit, --since\n"
	}
	return text
}
