package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/monitor"
	"callpoint/when"

	"github.com/spf13/cobra"
)

func (p *program) reportCommand() *cobra.Command {
	var q monitor.ReportQuery
	var whatIf string
	c := &cobra.Command{
		Use:   "report",
		Short: "Count calls by channel, subchannel and type, with match rate and reasons",
		Long: `report counts the calls of a period by call time: the last 30 days, unless --since or
--until are given. The match rate is the share of calls with a BizibleId that were
matched to a session; held, deleted and before_collection calls do not count.

--what-if resolves the same calls under other settings, without writing: timeout=45m,
window=60m, window-from=start (or last), channels=FILE, several joined by commas.

--revenue asks Salesforce what Marketo Measure attributes to touchpoints of the types
that the report lists, by channel and model (two API calls). --output csv gives the
rows, for a spreadsheet.`,
		Example: `  callpoint report
  callpoint report --since 2026-11-01 --until 2026-12-01 --output csv
  callpoint report --what-if window=60m,window-from=start
  callpoint report --since 90d --revenue`,
		Annotations: map[string]string{"formats": "text,json,csv"},
		Args:        cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if whatIf != "" {
				s, err := parseWhatIf(whatIf)
				if err != nil {
					return usage(fmt.Errorf("--what-if: %w", err))
				}
				q.WhatIf = &s
			}
			if err := q.Validate(time.Now()); err != nil {
				return usage(fmt.Errorf("--%s", strings.ReplaceAll(err.Error(), "must be before until", "must be before --until")))
			}
			return p.report(cmd.Context(), q)
		},
	}
	c.Flags().StringVar(&q.Since, "since", "", "from `T`: a day, an RFC 3339 time, or a duration back such as 90d")
	c.Flags().StringVar(&q.Until, "until", "", "up to `T`, which is not in it")
	c.Flags().StringVar(&whatIf, "what-if", "", "also under other `SETTINGS`: timeout=45m,window=60m,window-from=start,channels=FILE")
	c.Flags().BoolVar(&q.Revenue, "revenue", false, "add the revenue that the org attributes to these touchpoints")
	return c
}

// parseWhatIf reads key=value pairs; the file of channels is read here, because the
// daemon may not be allowed to.
func parseWhatIf(text string) (s monitor.Settings, err error) {
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		switch key {
		case "timeout":
			s.Timeout = value
		case "window":
			s.Window = value
		case "window-from":
			s.WindowFrom = value
		case "channels":
			b, err := os.ReadFile(value)
			if err != nil {
				return s, err
			}
			s.Channels = string(b)
		default:
			return s, fmt.Errorf("%q is not a setting; use timeout, window, window-from or channels%s", key, similar(key, []string{"timeout", "window", "window-from", "channels"}))
		}
	}
	return s, s.Validate()
}

func (p *program) report(ctx context.Context, q monitor.ReportQuery) error {
	var r monitor.Report
	err := p.askReport(ctx, q, &r)
	if err != nil {
		return err
	}
	switch p.output {
	case "json":
		err = json.NewEncoder(p.stdout).Encode(r)
	case "csv":
		err = p.reportCSV(r)
	default:
		_, err = fmt.Fprint(p.stdout, p.reportText(r))
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// askReport asks the daemon, or the store. Revenue is asked of Salesforce, which takes
// a login, where no daemon has one.
func (p *program) askReport(ctx context.Context, q monitor.ReportQuery, r *monitor.Report) error {
	if !q.Revenue {
		return p.ask(ctx, http.MethodPost, "/v1/report", q, r)
	}
	c, err := p.config()
	if err != nil {
		return err
	}
	if running, err := p.daemonCall(ctx, c, http.MethodPost, "/v1/report", q, r); running || err != nil {
		return err
	}
	if err := c.needStore(); err != nil {
		return err
	}
	a, err := p.open(c, p.logger(c), false)
	if err != nil {
		return err
	}
	*r, err = a.watch.Report(ctx, q)
	if err = errors.Join(err, a.close()); err != nil {
		return failed(err)
	}
	return nil
}

func (p *program) reportCSV(r monitor.Report) error {
	w := csv.NewWriter(p.stdout)
	_ = w.Write([]string{"channel", "subchannel", "touchpoint_type", "calls", "matched"}) // Error returns what went wrong
	for _, row := range r.Rows {
		_ = w.Write([]string{monitor.NoFormula(row.Channel), monitor.NoFormula(row.Subchannel), monitor.NoFormula(row.Type), strconv.Itoa(row.Calls), strconv.Itoa(row.Matched)})
	}
	w.Flush()
	return w.Error()
}

func (p *program) reportText(r monitor.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", p.paint(bold, fmt.Sprintf("Calls from %s to %s", when.Minute(r.From, p.zone()), when.Minute(r.To, p.zone()))))
	fmt.Fprintf(&b, "Match rate: %s\n\n", rateText(r.MatchRate))
	if r.NoPerson > 0 {
		fmt.Fprintf(&b, "%d of these calls have no touchpoint because they name nobody: callpoint calls --state no_person\n\n", r.NoPerson)
	}
	if len(r.Rows) > 0 {
		var rows [][]string
		for _, row := range r.Rows {
			rows = append(rows, []string{row.Channel, row.Subchannel, row.Type, strconv.Itoa(row.Calls), strconv.Itoa(row.Matched)})
		}
		b.WriteString(p.table([]string{"CHANNEL", "SUBCHANNEL", "TYPE", "CALLS", "MATCHED"}, rows, 3, 4) + "\n")
	}
	b.WriteString(p.reasonTable(r))
	if r.WhatIf != nil {
		b.WriteString("\n" + p.whatIfText(*r.WhatIf))
	}
	if r.Revenue != nil {
		b.WriteString("\n" + p.revenueText(*r.Revenue))
	}
	return b.String()
}

func rateText(rate *float64) string {
	if rate == nil {
		return "no call with an id yet"
	}
	return fmt.Sprintf("%.1f %%", 100**rate)
}

func (p *program) reasonTable(r monitor.Report) string {
	header := []string{"REASON", "CALLS"}
	if r.WhatIf != nil {
		header = append(header, "WOULD BE")
	}
	var names []mapping.Reason
	for reason, n := range r.Reasons {
		if n > 0 || r.WhatIf != nil && r.WhatIf.Reasons[reason] > 0 {
			names = append(names, reason)
		}
	}
	slices.SortFunc(names, func(a, b mapping.Reason) int {
		if n := r.Reasons[b] - r.Reasons[a]; n != 0 {
			return n
		}
		return strings.Compare(string(a), string(b))
	})
	if len(names) == 0 {
		return "No calls in this period.\n"
	}
	var rows [][]string
	for _, reason := range names {
		row := []string{string(reason), strconv.Itoa(r.Reasons[reason])}
		if r.WhatIf != nil {
			row = append(row, strconv.Itoa(r.WhatIf.Reasons[reason]))
		}
		rows = append(rows, row)
	}
	return p.table(header, rows, 1, 2)
}

func (p *program) whatIfText(w monitor.WhatIf) string {
	text := fmt.Sprintf("%s\nMatch rate would be %s.\n", p.paint(bold, "Under the other settings"), rateText(w.MatchRate))
	if len(w.Changed) == 0 {
		return text + "No call would change.\n"
	}
	var rows [][]string
	for _, c := range w.Changed {
		rows = append(rows, []string{strconv.Itoa(c.Calls), outcomeText(c.From), outcomeText(c.To)})
	}
	return text + p.table([]string{"CALLS", "FROM", "TO"}, rows, 0)
}

func outcomeText(o monitor.Outcome) string {
	if o.Channel == "" {
		return string(o.Reason)
	}
	return fmt.Sprintf("%s, %s", o.Reason, o.Channel)
}

func (p *program) revenueText(r monitor.Revenue) string {
	text := p.paint(bold, "Revenue that Marketo Measure attributes to touchpoints of the types "+strings.Join(r.Types, ", ")) + "\n"
	if len(r.Rows) == 0 {
		return text + "None: the org has no attribution touchpoints of these types in the period.\n"
	}
	header := []string{"CHANNEL", "TOUCHPOINTS"}
	numeric := []int{1}
	for i, m := range r.Models {
		header = append(header, strings.ToUpper(m))
		numeric = append(numeric, i+2)
	}
	var rows [][]string
	for _, row := range r.Rows {
		line := []string{row.Channel, strconv.Itoa(row.Touchpoints)}
		for _, m := range r.Models {
			line = append(line, strconv.FormatFloat(row.Revenue[m], 'f', 2, 64))
		}
		rows = append(rows, line)
	}
	return text + p.table(header, rows, numeric...)
}
