// Package callpoint_test holds the rules of the whole repository.
package callpoint_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which of our packages each may import: arrows point down only.
var allowed = map[string][]string{
	"when":                 {},
	"packaging/licenses":   {}, // makes packages, and is no part of the program
	"packaging/oci":        {}, // likewise
	"clock":                {},
	"mapping":              {},
	"mapping/data/update":  {},
	"store":                {"mapping", "store/kv", "store/kv/boltkv", "store/kv/pgkv"},
	"store/kv":             {},
	"store/kv/boltkv":      {"store/kv"},
	"store/kv/kvtest":      {"store/kv"},
	"store/kv/pgkv":        {"store/kv"},
	"store/kv/pgkv/pgtest": {},
	"sync/salesforce":      {},
	"sync/orgsim":          {},
	"sync/collector":       {"mapping", "store"},
	"sync/spool":           {"mapping", "store/kv"},
	"sync/relay":           {"mapping", "sync/spool"},
	"sync/engine":          {"clock", "mapping", "store", "sync/salesforce"},
	"sync/monitor":         {"clock", "mapping", "store", "sync/engine", "sync/salesforce", "when"},
	"cmd/callpoint":        {"clock", "mapping", "store", "sync/collector", "sync/engine", "sync/monitor", "sync/orgsim", "sync/relay", "sync/salesforce", "sync/spool", "when"},
}

// barred are the imports that keep the pure package pure.
var barred = map[string][]string{
	"mapping": {"net/http", "os", "log", "log/slog", "context", "math/rand", "math/rand/v2"},
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "callpoint"), "/")
		if name == "" {
			continue
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s is in no place of the architecture", name)
			continue
		}
		seen++
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "callpoint/"); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
			if slices.Contains(barred[name], i) {
				t.Errorf("%s imports %s, and is no longer pure", name, i)
			}
			if strings.HasPrefix(i, "go.etcd.io/bbolt") && name != "store/kv/boltkv" {
				t.Errorf("%s imports bbolt: only store/kv/boltkv may", name)
			}
			if strings.HasPrefix(i, "github.com/jackc/pgx") && !strings.HasPrefix(name, "store/kv/pgkv") {
				t.Errorf("%s imports pgx: only store/kv/pgkv may", name)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages seen, %d in the architecture", seen, len(allowed))
	}
}
