package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"callpoint/sync/salesforce"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
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
	stdout, stderr = &plainWriter{w: stdout}, &plainWriter{w: stderr}
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
		e = &exitError{exitUsage, fmt.Errorf("%w\nusage: %s\nRun %s --help for details", err, command.UseLine(), command.CommandPath())}
	}
	switch {
	case e.err == nil:
	case p.output == "json" || wantsJSON(args):
		_ = json.NewEncoder(stderr).Encode(map[string]string{"error": e.err.Error()})
	default:
		fmt.Fprintf(stderr, "callpoint: %v\n", e.err)
	}
	return e.code
}

// wantsJSON reports whether the arguments ask for JSON. Where they cannot be parsed, the
// flag has not been set.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "--output=json", "-ojson", "-o=json":
			return true
		case "--output", "-o":
			return i+1 < len(args) && args[i+1] == "json"
		case "--":
			return false
		}
	}
	return false
}

// Hooks for tests; nil in every release.
var (
	testOnlyAtStep func(step string)        // called at the named steps of a cycle
	testOnlyTune   func(*salesforce.Config) // shortens the client's pauses
)

// exitError is an error with its exit code. Without err, nothing more is printed.
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

	envFile  string
	output   string            // text or json
	onStep   func(what string) // is called with each step of a long start; nil: not needed
	timeZone *time.Location    // of text output; nil: not known
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
	if c.TimeZone.location != nil {
		p.timeZone = c.TimeZone.location
	}
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

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func (p *program) root() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "callpoint",
		Short: "Attribute phone calls to web sessions in Salesforce",
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
		Args:          noSubcommand,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				return p.syncOnce(cmd.Context())
			}
			return p.daemon(cmd.Context())
		},
	}
	c.SetVersionTemplate("{{.Version}}\n")
	c.Flags().Bool("version", false, "print the version, the commit and the Go release")
	c.SetFlagErrorFunc(flagError)
	c.Flags().BoolVar(&once, "sync-once", false, "run one complete cycle, print a one-line summary, exit")
	c.PersistentFlags().StringVar(&p.envFile, "env-file", "", "read environment variables from `FILE` (default /etc/callpoint/callpoint.env where it exists), and secrets from the files beside it; the environment itself wins")
	c.PersistentFlags().StringVarP(&p.output, "output", "o", "text", "`FORMAT` of the answer: text or json")
	c.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if formats := outputFormats(cmd); !slices.Contains(formats, p.output) {
			return usage(fmt.Errorf("--output %s: use %s%s", p.output, strings.Join(formats, " or "), similar(p.output, formats)))
		}
		return nil
	}
	_ = c.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return outputFormats(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	c.CompletionOptions.DisableDefaultCmd = true // ours takes the shell as its argument
	c.AddCommand(p.demoCommand(), p.initCommand(), p.metadataCommand(), p.orgCommand(), p.channelsCommand(), p.explainCommand(), p.callsCommand(),
		p.reportCommand(), p.statusCommand(), p.storeCommand(), p.forgetCommand(), p.importCommand(),
		p.relayCommand(), p.checkCommand(), p.parkedCommand(), p.reconcileCommand(), p.rereadCommand(), p.retractCommand(),
		p.completionCommand(), p.manCommand(), p.versionCommand())
	return c
}

// flagError suggests the right spelling of an unknown flag.
func flagError(cmd *cobra.Command, err error) error {
	unknown := new(pflag.NotExistError)
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	add := func(f *pflag.Flag) { names = append(names, "--"+f.Name) }
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	if near := similar("--"+unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w%s", err, near)
	}
	return err
}

// noSubcommand refuses arguments of a command that has subcommands, with suggestions.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// showHelp is a command that only has subcommands.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }
