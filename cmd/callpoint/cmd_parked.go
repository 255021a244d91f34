package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/when"

	"github.com/spf13/cobra"
)

func (p *program) parkedCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "parked",
		Short: "List the touchpoints that Salesforce refuses, with the cure",
		Long: `parked lists the touchpoints that Salesforce refuses, with its code, its message and a
sentence on the cure. They hold nobody up, and are tried again daily, when their content,
the rules or the org's fields change, and by parked retry.`,
		Example: "  callpoint parked\n  callpoint parked retry\n  callpoint parked --output json",
		Args:    noSubcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.parked(cmd.Context()) },
	}
	c.AddCommand(&cobra.Command{
		Use:   "retry [ID...]",
		Short: "Try parked touchpoints again now: those of these Tasks, or all",
		Long: `retry makes touchpoints due that Salesforce refused: those of the Tasks named, or without
any all of them, and whatever waits because a whole object is refused. Do it after the
cure; those that are refused again stay parked.`,
		Example: "  callpoint parked retry\n  callpoint parked retry 00T8d00000AbCdEEAV",
		RunE:    func(cmd *cobra.Command, args []string) error { return p.retryParked(cmd.Context(), args) },
	})
	return c
}

func (p *program) parked(ctx context.Context) error {
	var list monitor.ParkedList
	if err := p.ask(ctx, http.MethodGet, "/v1/parked", nil, &list); err != nil {
		return err
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	for _, pause := range list.Paused {
		fmt.Fprintf(p.stdout, "Salesforce has refused every record of %s since %s: %s: %s\n  %s\n  Next attempt: %s.\n", pause.Object,
			when.Minute(pause.Since, p.zone()), pause.Code, pause.Message, pause.Cure, when.Minute(pause.Until, p.zone()))
	}
	for _, t := range list.Parked {
		of := t.TaskID
		if of == "" {
			of = t.Key
		}
		fmt.Fprintf(p.stdout, "%s  %s: %s\n  %s\n  Tried %s. Next attempt: %s.\n", of, t.Code, t.Message, t.Cure,
			times(t.Attempts), when.Minute(t.NextAttempt, p.zone()))
	}
	if len(list.Parked)+len(list.Paused) == 0 {
		fmt.Fprintln(p.stdout, "No parked touchpoints.")
	}
	return nil
}

// times writes a count of attempts.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (p *program) retryParked(ctx context.Context, ids []string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	var answer monitor.Retried
	body := map[string][]string{"ids": append([]string{}, ids...)}
	running, err := p.daemonCall(ctx, c, http.MethodPost, "/v1/parked/retry", body, &answer)
	if err != nil {
		return err
	}
	if !running {
		err = p.withEngine(c, func(e *engine.Engine) error {
			if answer.Released, err = e.RetryParked(ctx, ids); err != nil {
				return failed(err)
			}
			s, err := e.Cycle(ctx)
			answer.Parked = s.Parked
			if err != nil {
				return verdict(s, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if p.output == "json" {
		err = json.NewEncoder(p.stdout).Encode(answer)
	} else {
		fmt.Fprintf(p.stdout, "%d touchpoints tried again; %d are parked.\n", answer.Released, answer.Parked)
	}
	switch {
	case answer.Error != "":
		return failed(errors.Join(err, errors.New(answer.Error)))
	case err == nil && len(ids) > 0 && answer.Released == 0:
		return failed(fmt.Errorf("%s is not parked", strings.Join(ids, ", ")))
	}
	return errors.Join(err, verdict(engine.Summary{Parked: answer.Parked}, nil))
}

// withEngine opens the store, which must exist and which no daemon has, for one command.
func (p *program) withEngine(c Config, fn func(*engine.Engine) error) error {
	if err := c.needStore(); err != nil {
		return err
	}
	a, err := p.open(c, p.logger(c), false)
	if err != nil {
		return err
	}
	return errors.Join(fn(a.engine), a.close())
}
