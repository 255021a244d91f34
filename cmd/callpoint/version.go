package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go release",
		Long:    "version prints what the build itself says: what to name in a report of a problem.",
		Example: "  callpoint version",
		Args:    cobra.NoArgs,
		Run:     func(*cobra.Command, []string) { fmt.Fprintln(p.stdout, version()) },
	}
}

// version comes from the build itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "callpoint (unknown build)"
	}
	commit, dirty := "unknown commit", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = ", modified"
		}
	}
	return fmt.Sprintf("callpoint %s (%s%s, %s)", info.Main.Version, commit, dirty, info.GoVersion)
}
