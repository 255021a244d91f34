package store

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The key table of the package comment has a row for each bucket, and no other.
func TestKeyTableIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z_]+) {2,}\S`).FindAllSubmatch(text, -1) {
		if name := string(m[1]); name != "bucket" {
			rows = append(rows, name)
		}
	}
	slices.Sort(rows)
	want := slices.Sorted(slices.Values(buckets))
	if !slices.Equal(rows, want) {
		t.Errorf("the table has the rows\n%q, the buckets are\n%q", rows, want)
	}
}
