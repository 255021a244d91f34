package main

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go release",
		Long:    "version prints the version, the commit and the Go release of this build. Name them in a bug report.",
		Example: "  callpoint version",
		Args:    cobra.NoArgs,
		Run:     func(*cobra.Command, []string) { fmt.Fprintln(p.stdout, version()) },
	}
}

// version describes this build, from what Go recorded in it.
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
	return fmt.Sprintf("callpoint %s (%s%s, %s)", sortable(info.Main.Version), commit, dirty, info.GoVersion)
}

// goVersion is what Go calls a commit that has no tag of its own.
var goVersion = regexp.MustCompile(`^v(\d+)\.(\d+)\.(\d+)-(0\.)?(\d{14})-([0-9a-f]{12})(?:\+dirty)?$`)

// sortable turns a version of Go into one that packages sort, as packaging/version.sh
// does: X.Y.Z at a tag, X.Y.Z+time.hash after it, 0.0.0~time.hash before the first.
func sortable(version string) string {
	m := goVersion.FindStringSubmatch(version)
	if m == nil {
		return strings.TrimSuffix(strings.TrimPrefix(version, "v"), "+dirty")
	}
	if m[4] == "" {
		return "0.0.0~" + m[5] + "." + m[6]
	}
	patch, err := strconv.Atoi(m[3]) // of the next release
	if err != nil || patch == 0 {
		return version
	}
	return fmt.Sprintf("%s.%s.%d+%s.%s", m[1], m[2], patch-1, m[5], m[6])
}
