package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"callpoint/mapping"
	"callpoint/store"

	"github.com/spf13/cobra"
)

func (p *program) channelsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "channels",
		Short: "Try, check and compare channel rules",
		Long: `channels works on the channel rules: the CSV file of Marketo Measure (Settings,
Channels, Online), read as it comes. Without CALLPOINT_CHANNELS the built-in file is
used; channels default prints it, as a start for one's own.`,
		Example: `  callpoint channels test 'https://www.example.com/?gclid=x'
  callpoint channels lint channels.csv`,
		Args: noSubcommand,
		RunE: showHelp,
	}
	c.AddCommand(&cobra.Command{
		Use:   "test URL [REFERRER]",
		Short: "Say which channel a visit has, and which row and cell decide",
		Long: `test puts one visit to the channel rules in use (CALLPOINT_CHANNELS, or the built-in
ones): its landing page with all parameters, and the page it came from; without REFERRER
it came from nowhere. It prints the channel path, and the line and cell that decide.`,
		Example: `  callpoint channels test 'https://www.example.com/?gclid=x' https://www.google.com/
  callpoint channels test https://www.example.com/ -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error { return p.testChannels(append(args, "")) },
	}, &cobra.Command{
		Use:   "lint FILE",
		Short: "Find errors and dead rows in a file of channel rules",
		Long: `lint reads a file as the daemon would. Errors, each with its line, make it unusable (exit
code 78): an unknown [...], a row without a condition, a dot in a name, another header.
Warnings do not: a row that no visit reaches, more channels than Marketo Measure takes.`,
		Example: "  callpoint channels lint channels.csv",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.lintChannels(args[0]) },
	}, &cobra.Command{
		Use:   "diff FILE",
		Short: "Count the stored sessions that another file would move, from where to where",
		Long: `diff maps every stored session by the rules in use and by those of FILE, and counts what
changes, and how many of these sessions are credited to a call. It writes nothing. It needs
the store to itself: beside a running daemon, compare on a copy (store backup).`,
		Example: "  callpoint channels diff new-channels.csv",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.diffChannels(args[0]) },
	}, &cobra.Command{
		Use:   "default",
		Short: "Print the built-in channel rules",
		Long: `default prints the channel rules that are used without CALLPOINT_CHANNELS, as the CSV file
that channels lint, test and CALLPOINT_CHANNELS read.`,
		Example: "  callpoint channels default > channels.csv",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := p.stdout.Write(mapping.DefaultChannels())
			return err
		},
	})
	return c
}

// decided is the answer of channels test.
type decided struct {
	Channel    string `json:"channel"`
	Subchannel string `json:"subchannel"`
	Path       string `json:"channel_path"`
	mapping.Rule
}

func (d decided) String() string {
	if d.Row == 0 {
		return d.Path + "\nno row fits"
	}
	return fmt.Sprintf("%s\nline %d decides: %s %s", d.Path, d.Row, d.Column, d.Cell)
}

func (p *program) testChannels(args []string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	r, err := c.rules()
	if err != nil {
		return misconfigured(err)
	}
	if !strings.Contains(args[0], "://") {
		return usage(fmt.Errorf("%s: not a URL: it needs http:// or https://", args[0]))
	}
	ch := r.settings.Channel(args[0], args[1])
	return p.print(decided{ch.Channel, ch.Subchannel, ch.Path, ch.Rule})
}

func (p *program) lintChannels(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return failed(err)
	}
	_, problems, err := mapping.ParseRules(data)
	if p.output == "json" {
		if jerr := json.NewEncoder(p.stdout).Encode(append([]mapping.Problem{}, problems...)); jerr != nil {
			return jerr
		}
	} else {
		for _, problem := range problems {
			kind := "error"
			if problem.Warning {
				kind = "warning"
			}
			fmt.Fprintf(p.stdout, "%s: %s: %v\n", path, kind, problem)
		}
	}
	switch {
	case err != nil:
		return misconfigured(fmt.Errorf("%s cannot be used", path))
	case p.output == "text":
		fmt.Fprintf(p.stdout, "%s: no errors, %d warnings\n", path, len(problems))
	}
	return nil
}

// move is how many sessions go from one channel to another.
type move struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Sessions int    `json:"sessions"`
	Calls    int    `json:"calls"`
}

// moves is the answer of channels diff.
type moves struct {
	Sessions int    `json:"sessions"`
	Moved    int    `json:"moved"`
	Moves    []move `json:"moves"`
}

func (m moves) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d stored sessions would move", m.Moved, m.Sessions)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, x := range m.Moves {
		if i == 0 {
			fmt.Fprint(w, "\n\nSESSIONS\tCALLS\tFROM\tTO")
		}
		fmt.Fprintf(w, "\n%d\t%d\t%s\t%s", x.Sessions, x.Calls, x.From, x.To)
	}
	w.Flush() // into a builder: it does not fail
	return b.String()
}

func (p *program) diffChannels(path string) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	today, err := c.rules()
	if err != nil {
		return misconfigured(err)
	}
	c.Channels = path
	other, err := c.rules()
	if err != nil {
		return misconfigured(err)
	}
	var result moves
	err = p.withStore(c, func(s *store.Store) error {
		result, err = compare(s, today.settings, other.settings)
		return err
	})
	if errors.Is(err, store.ErrInUse) {
		err = failed(fmt.Errorf("%w\nor compare on a copy: callpoint store backup makes one, CALLPOINT_STORE names it", err))
	}
	if err != nil {
		return err
	}
	return p.print(result)
}

// compare resolves every visitor under both rules.
func compare(s *store.Store, today, other *mapping.Settings) (moves, error) {
	type way struct{ from, to string }
	counts := map[way]*move{}
	var m moves
	err := s.EachVisitor(func(j store.Journey) bool {
		was, would := sessionsOf(j, today), sessionsOf(j, other)
		m.Sessions += len(was)
		for i := range was {
			from, to := was[i].ChannelPath, would[i].ChannelPath
			if from == to {
				continue
			}
			m.Moved++
			w := way{from, to}
			if counts[w] == nil {
				counts[w] = &move{From: from, To: to}
			}
			counts[w].Sessions++
			if was[i].TaskID != "" {
				counts[w].Calls++
			}
		}
		return true
	})
	for _, x := range counts {
		m.Moves = append(m.Moves, *x)
	}
	slices.SortFunc(m.Moves, func(a, b move) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return m, err
}

// sessionsOf derives a visitor's sessions, with channels and the calls that they are
// credited to. Rules change channels only, so both sides have the same sessions.
func sessionsOf(j store.Journey, s *mapping.Settings) []mapping.Session {
	in := mapping.Journey{Visitor: j.Visitor, Events: j.Events, Visits: j.Visits}
	for _, c := range j.Calls {
		in.Calls = append(in.Calls, c.Call)
	}
	return s.Match(in).Sessions
}
