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

func (p *program) callsCommand() *cobra.Command {
	var reason, state, since string
	var limit int
	c := &cobra.Command{
		Use:   "calls",
		Short: "List calls with their reason and state, newest first",
		Long: "calls lists the calls that were read, by call time, newest first. Reasons: " + strings.Join(monitor.ReasonNames(), ", ") +
			". States: " + strings.Join(monitor.StateNames(), ", ") + `.

It asks the running daemon; where none runs, it reads the store. --output csv prints every
column, for a spreadsheet.`,
		Example: `  callpoint calls --since 24h
  callpoint calls --reason unknown_visitor --since 7d
  callpoint calls --state parked --output json
  callpoint calls --since 30d --output csv > calls.csv`,
		Annotations: map[string]string{"formats": "text,json,csv"},
		Args:        cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"reason": {reason}, "state": {state}, "since": {since}, "limit": {fmt.Sprint(limit)}}
			if _, err := monitor.ParseCallQuery(q.Get, time.Now()); err != nil {
				return usage(fmt.Errorf("--%w%s", err, similar(reason, monitor.ReasonNames())+similar(state, monitor.StateNames())))
			}
			var list monitor.CallList
			if err := p.ask(cmd.Context(), http.MethodGet, "/v1/calls?"+q.Encode(), nil, &list); err != nil {
				return err
			}
			var err error
			switch p.output {
			case "json":
				err = json.NewEncoder(p.stdout).Encode(list)
			case "csv":
				err = p.callCSV(list)
			default:
				_, err = fmt.Fprint(p.stdout, p.callTable(list))
			}
			if err != nil {
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "only calls with this `REASON`")
	c.Flags().StringVar(&state, "state", "", "only calls whose touchpoint has this `STATE`")
	c.Flags().StringVar(&since, "since", "", "only calls since `T`: a day, an RFC 3339 time, or a duration back such as 36h or 7d")
	c.Flags().IntVar(&limit, "limit", 200, "at most `N` calls")
	_ = c.RegisterFlagCompletionFunc("reason", completeValues(monitor.ReasonNames()...))
	_ = c.RegisterFlagCompletionFunc("state", completeValues(monitor.StateNames()...))
	return c
}

func (p *program) callTable(list monitor.CallList) string {
	if len(list.Calls) == 0 {
		return "No calls match.\n"
	}
	zone := p.zone()
	var rows [][]string
	for _, v := range list.Calls {
		rows = append(rows, []string{v.CallTime.In(zone).Format("2006-01-02 15:04"), v.TaskID, string(v.Reason), stateText(v), channelText(v, "-"), v.Subject})
	}
	// The time and the id are never cut: they name the call.
	text := p.columns([]column{{title: "CALL TIME (" + list.Calls[0].CallTime.In(zone).Format("MST") + ")"}, {title: "TASK"},
		{title: "REASON", least: 12}, {title: "STATE", least: 7, drop: 2}, {title: "SESSION'S CHANNEL", least: narrowest, drop: 1},
		{title: "SUBJECT", least: 7}}, rows)
	if list.More {
		text += fmt.Sprintf("Showing the newest %d calls. Use --limit or --since to see more.\n", len(list.Calls))
	}
	return text
}

func stateText(v monitor.CallView) string {
	state := string(v.State)
	if state == "" {
		state = "-"
	}
	if v.Salesforce.Code != "" {
		state += " " + v.Salesforce.Code
	}
	return state
}

func channelText(v monitor.CallView, none string) string {
	if v.Session == nil {
		return none
	}
	return v.Session.ChannelPath
}

// callCSV writes one row for each call; times are UTC, as in JSON.
func (p *program) callCSV(list monitor.CallList) error {
	err := monitor.WriteCSV(p.stdout, list.Calls)
	if list.More {
		fmt.Fprintf(p.stderr, "Showing the newest %d calls. Use --limit or --since to see more.\n", len(list.Calls))
	}
	return err
}
