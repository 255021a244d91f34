package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"callpoint/sync/engine"

	"github.com/spf13/cobra"
)

func (p *program) retractCommand() *cobra.Command {
	var since string
	var yes, undo bool
	c := &cobra.Command{
		Use:   "retract",
		Short: "Delete from Salesforce what callpoint wrote: the way back",
		Long: `retract deletes callpoint's own records from Salesforce, known by the prefix of their
keys, after showing how many there are: touchpoints, and persons to which no other
touchpoint belongs. Nothing else is touched. Deleted records are not recreated until you
run retract --undo. New calls are still written: stop the daemon, or set
CALLPOINT_DRY_RUN=true, to prevent that. Salesforce keeps deleted records in its recycle bin
for 15 days. What CALLPOINT_REASON_FIELD=Task.FIELD wrote on Tasks stays: it is your field,
and a mass update clears it.`,
		Example: "  callpoint retract\n  callpoint retract --since 24h --yes\n  callpoint retract --undo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			var from startTime
			if since != "" {
				if err := from.EnvDecode(since); err != nil {
					return usage(fmt.Errorf("--since %s: %w", since, err))
				}
				q.Set("since", from.from(time.Now()).UTC().Format(time.RFC3339))
			}
			if undo {
				return p.undoRetract(cmd.Context())
			}
			return p.retract(cmd.Context(), q, yes)
		},
	}
	c.Flags().StringVar(&since, "since", "", "only records created since `T`: a day, an RFC 3339 time, or a duration back such as 24h or 7d")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&undo, "undo", false, "let retracted records be written again")
	return c
}

func (p *program) retract(ctx context.Context, q url.Values, yes bool) error {
	r, err := p.retracted(ctx, q)
	if err != nil {
		return err
	}
	if r.Touchpoints+r.Persons > 0 {
		if p.output == "text" {
			fmt.Fprintln(p.stdout, r)
		}
		if !yes && !p.confirm("Delete them? [y/N] ") {
			return usage(errors.New("nothing was deleted: confirm, or give --yes"))
		}
		q.Set("do", "true")
		if r, err = p.retracted(ctx, q); err != nil {
			return err
		}
	}
	return p.print(r)
}

func (p *program) undoRetract(ctx context.Context) error {
	r, err := p.retracted(ctx, url.Values{"undo": {"true"}})
	if err != nil {
		return err
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(r)
	}
	_, err = fmt.Fprintf(p.stdout, "%d touchpoints are written again by the next cycle\n", r.Touchpoints)
	return err
}

// retracted asks the daemon, or does it where none runs.
func (p *program) retracted(ctx context.Context, q url.Values) (r engine.Retracted, err error) {
	c, err := p.config()
	if err != nil {
		return r, err
	}
	running, err := p.daemonCall(ctx, c, http.MethodPost, "/v1/retract?"+q.Encode(), nil, &r)
	if running || err != nil {
		return r, err
	}
	err = p.withEngine(c, func(e *engine.Engine) error {
		if q.Get("undo") != "" {
			r.Touchpoints, err = e.Restore(ctx)
			return err
		}
		since, _ := time.Parse(time.RFC3339, q.Get("since")) // absent: zero
		if r, err = e.Retract(ctx, since, q.Get("do") != ""); err != nil {
			return verdict(engine.Summary{}, err)
		}
		return nil
	})
	return r, err
}

// confirm asks on a terminal; elsewhere the answer is no.
func (p *program) confirm(question string) bool {
	if !isTerminal(os.Stdin) {
		return false
	}
	fmt.Fprint(p.stderr, question)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
