package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

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
		Long: `man writes one page for each command, in section 1. Their date is that of
SOURCE_DATE_EPOCH where it is set, so that a package can be built twice alike.`,
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
			return nil
		},
	}
}
