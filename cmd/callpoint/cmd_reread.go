package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/when"

	"github.com/spf13/cobra"
)

func (p *program) rereadCommand() *cobra.Command {
	var since string
	c := &cobra.Command{
		Use:   "reread --since T",
		Short: "Read the Tasks that changed since T once more",
		Long: `Reads the Tasks that changed since T once more, and Tasks that were created since T
although CALLPOINT_START is later. A poll reads what changed since the last one, so it never
comes upon Tasks that the user could not see then: run reread after permissions were widened
(for example View All Data). Where CALLPOINT_START is moved back or CALLPOINT_TASK_FILTER
changes, callpoint reads what it lacks without being asked. Nothing is written twice.`,
		Example: "  callpoint reread --since 2160h\n  callpoint reread --since 2026-09-01T00:00:00Z",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var from startTime
			if since == "" {
				return usage(errors.New("--since is missing: give a duration back such as 720h, or an RFC 3339 time"))
			}
			if err := from.EnvDecode(since); err != nil {
				return usage(fmt.Errorf("--since %s: %w", since, err))
			}
			at := from.from(time.Now()).UTC()
			if at.After(time.Now()) {
				return usage(fmt.Errorf("--since %s is in the future", since))
			}
			return p.reread(cmd.Context(), at)
		},
	}
	c.Flags().StringVar(&since, "since", "", "what changed since `T`: a duration back, or an RFC 3339 time")
	return c
}

func (p *program) reread(ctx context.Context, since time.Time) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	var answer monitor.Reread
	running, err := p.daemonCall(ctx, c, http.MethodPost, "/v1/reread?since="+url.QueryEscape(since.Format(time.RFC3339)), nil, &answer)
	if err == nil && !running {
		err = p.withEngine(c, func(e *engine.Engine) error {
			if answer.From, err = e.Reread(ctx, since); err != nil {
				return failed(err)
			}
			if answer.Summary, err = e.Cycle(ctx); err != nil {
				return verdict(answer.Summary, err)
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	if p.output == "json" {
		err = json.NewEncoder(p.stdout).Encode(answer)
	} else {
		_, err = fmt.Fprintf(p.stdout, "Read since %s: %s\n", when.Minute(answer.From, p.zone()), answer.Summary)
	}
	return errors.Join(err, verdict(answer.Summary, nil))
}
