package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	project "callpoint"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of a shell: bash, zsh, fish or powershell",
		Long: `completion prints a script that completes commands and flags. The packages install
those of bash, zsh and fish.`,
		Example: `  callpoint completion bash > /etc/bash_completion.d/callpoint
  callpoint completion zsh > "${fpath[1]}/_callpoint"
  callpoint completion fish > ~/.config/fish/completions/callpoint.fish`,
		Args:                  cobra.ExactArgs(1),
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := cmd.Root(), error(nil)
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				err = root.GenZshCompletion(p.stdout)
			case "fish":
				err = root.GenFishCompletion(p.stdout, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(p.stdout)
			default:
				return usage(fmt.Errorf("completion %s: bash, zsh, fish or powershell", args[0]))
			}
			if err != nil {
				return failed(err)
			}
			return nil
		},
	}
}

func (p *program) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages of all commands into a folder",
		Long: `man writes one page for each command, in section 1, and one for the configuration file,
in section 5. Their date is that of SOURCE_DATE_EPOCH where it is set, so that a package can
be built twice with the same content.`,
		Example: "  callpoint man /usr/local/share/man/man1",
		Hidden:  true, // for those who make packages
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			date := time.Now().UTC()
			if epoch := p.env("SOURCE_DATE_EPOCH"); epoch != "" {
				seconds, err := strconv.ParseInt(epoch, 10, 64)
				if err != nil {
					return misconfigured(fmt.Errorf("SOURCE_DATE_EPOCH: %w", err))
				}
				date = time.Unix(seconds, 0).UTC()
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return failed(err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "callpoint", Manual: "callpoint"}, args[0]); err != nil {
				return failed(err)
			}
			if err := os.WriteFile(filepath.Join(args[0], "callpoint.env.5"), configPage(date), 0o644); err != nil {
				return failed(err)
			}
			return nil
		},
	}
}

// configPage returns the manual page of callpoint.env: the example file, which explains each
// variable and shows its default.
func configPage(date time.Time) []byte {
	text := strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimSpace(project.ConfigExample))
	var b strings.Builder
	fmt.Fprintf(&b, ".TH CALLPOINT.ENV 5 %q callpoint callpoint\n", date.Format("Jan 2006"))
	b.WriteString(".SH NAME\ncallpoint.env \\- configuration of callpoint\n.SH SYNOPSIS\n/etc/callpoint/callpoint.env\n.SH DESCRIPTION\n" +
		"The file is read by systemd for the service, and by every command. Its content as installed, with every variable:\n.PP\n.nf\n")
	for line := range strings.Lines(text + "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			b.WriteString(`\&`) // no request of the formatter
		}
		b.WriteString(line)
	}
	b.WriteString(".fi\n.SH SEE ALSO\ncallpoint(1), callpoint\\-init(1), callpoint\\-check(1)\n")
	return []byte(b.String())
}
