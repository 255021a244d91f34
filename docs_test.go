package callpoint_test

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestArchitectureNamesEveryPackage holds docs/architecture.md to the packages and to a
// length that can be read at once.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(allowed))
	for _, dir := range []string{"bench/driver", "bench/gopeer", "bench/workload"} { // not listed in allowed
		if !slices.Contains(names, dir) {
			names = append(names, dir)
		}
	}
	for _, name := range names {
		if !strings.Contains(string(text), "**`"+name+"`**") {
			t.Errorf("docs/architecture.md has no entry **`%s`**", name)
		}
	}
	if n := len(strings.Fields(string(text))); n > 1800 {
		t.Errorf("docs/architecture.md has %d words, want at most 1800", n)
	}
}

// TestDependenciesAreExplained compares docs/dependencies.md with go.mod, both ways.
func TestDependenciesAreExplained(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		name, isRow := strings.CutPrefix(strings.TrimSpace(cells[min(1, len(cells)-1)]), "`")
		if !isRow || len(cells) != 6 {
			continue
		}
		listed = append(listed, strings.TrimSuffix(name, "`"))
		if slices.ContainsFunc(cells[2:5], func(c string) bool { return strings.TrimSpace(c) == "" }) {
			t.Errorf("docs/dependencies.md: a cell is empty in %s", strings.TrimSpace(line))
		}
	}
	direct := strings.Fields(string(out))
	for _, m := range direct {
		if !slices.Contains(listed, m) {
			t.Errorf("docs/dependencies.md has no row for %s", m)
		}
	}
	for _, m := range listed {
		if !slices.Contains(direct, m) {
			t.Errorf("docs/dependencies.md lists %s, which is no direct dependency", m)
		}
	}
}
