package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"callpoint/sync/salesforce"

	"github.com/spf13/cobra"
)

// Exit codes that scripts and the systemd unit rely on. 2 is never one of them: Go's
// runtime ends with it after a panic or a fatal signal, and the unit must restart those.
const (
	exitDone   = 0
	exitFailed = 1  // tried again later, or the thing asked for does not exist
	exitParked = 3  // done, but Salesforce refuses touchpoints
	exitUsage  = 64 // EX_USAGE: unknown command or flag, bad argument
	exitConfig = 78 // EX_CONFIG: wrong configuration, or a failed check; a restart cannot mend it
)

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// run is main without the process around it.
func run(args, environ []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal kills at once.
	context.AfterFunc(ctx, stop)
	p := &program{environ: environ, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var e *exitError
	if !errors.As(err, &e) {
		// Cobra's own: an unknown flag or command, or arguments that do not fit.
		e = &exitError{exitUsage, fmt.Errorf("%w\nIt is used as: %s (%s --help says more)", err, command.UseLine(), command.CommandPath())}
	}
	if e.err != nil {
		fmt.Fprintf(stderr, "callpoint: %v\n", e.err)
	}
	return e.code
}

// Hooks for tests; nil in every release.
var (
	testOnlyAtStep func(step string)        // called at the named steps of a cycle
	testOnlyTune   func(*salesforce.Config) // shortens the client's pauses
)

// exitError is an error with the exit code that it means. Without err, all was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func failed(err error) error        { return &exitError{exitFailed, err} }
func usage(err error) error         { return &exitError{exitUsage, err} }
func misconfigured(err error) error { return &exitError{exitConfig, err} }

// program is what the commands share.
type program struct {
	environ        []string
	stdout, stderr io.Writer

	envFile string
	output  string            // text or json
	onStep  func(what string) // hears of a long start; nil: nobody does
}

// config reads the configuration: the environment, and under it --env-file or the file of
// this machine's set-up.
func (p *program) config() (Config, error) {
	envFile, unread := p.envFile, error(nil)
	if envFile == "" {
		envFile, unread = p.systemSettings()
	}
	c, err := loadConfig(p.environ, envFile)
	if err != nil {
		return c, misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	c.Unread = unread
	return c, nil
}

func (p *program) logger(c Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // validated
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, o))
	}
	return slog.New(slog.NewTextHandler(p.stderr, o))
}

func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

func (p *program) root() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "callpoint",
		Short: "Give phone calls their marketing credit in Salesforce",
		Long: `callpoint reads the Tasks that a call-tracking vendor creates in Salesforce, finds
the web session of the visitor who phoned (same BizibleId, within 30 minutes), and
upserts a Bizible Touchpoint, so that the session counts as a phone call.

Without a command it is the daemon: it collects web sessions, polls, resolves,
upserts, and answers health checks. Configuration comes from environment variables, and
from /etc/callpoint/callpoint.env where that file exists; config.example.env lists all of
them.`,
		Example: `  callpoint demo                        see it work, nothing to configure
  callpoint init                        write a configuration, and check it
  callpoint --sync-once --output json   one complete cycle, for cron`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				return p.syncOnce(cmd.Context())
			}
			return p.daemon(cmd.Context())
		},
	}
	c.Flags().BoolVar(&once, "sync-once", false, "run one complete cycle, print a one-line summary, exit")
	c.PersistentFlags().StringVar(&p.envFile, "env-file", "", "read environment variables from `FILE` (default /etc/callpoint/callpoint.env where it exists), and secrets from the files beside it; the environment itself wins")
	c.PersistentFlags().StringVarP(&p.output, "output", "o", "text", "`FORMAT` of the answer: text or json")
	c.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if formats := outputFormats(cmd); !slices.Contains(formats, p.output) {
			return usage(fmt.Errorf("--output %s: %s", p.output, strings.Join(formats, " or ")))
		}
		return nil
	}
	c.CompletionOptions.DisableDefaultCmd = true // ours takes the shell as its argument
	c.AddCommand(p.demoCommand(), p.initCommand(), p.orgCommand(), p.channelsCommand(), p.explainCommand(), p.callsCommand(),
		p.reportCommand(), p.statusCommand(), p.storeCommand(), p.forgetCommand(), p.importCommand(),
		p.relayCommand(), p.checkCommand(), p.parkedCommand(), p.reconcileCommand(), p.retractCommand(),
		p.completionCommand(), p.manCommand(), p.versionCommand())
	return c
}
