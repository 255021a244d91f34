package monitor

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// The dashboard and the alert rules name metrics and labels that are there.
func TestDashboardAndAlertsFitTheMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.cfg.Collected = func() Collected {
		return Collected{Rejected: map[string]uint64{"malformed": 0}, Bots: map[string]uint64{"x": 0}, Refused: map[string]uint64{"x": 0}}
	}
	if n, err := testutil.GatherAndCount(b.Server.metrics.registry); err != nil || n < 90 {
		t.Fatalf("%d series, %v", n, err)
	}
	_, metrics := b.get("/metrics")
	for _, file := range []string{"grafana.json", "alerts.yml"} {
		text, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is no JSON", file)
		}
		names := regexp.MustCompile(`callpoint_[a-z_]+(\{\w+=\\?"\w+\\?"\})?`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if name = strings.ReplaceAll(name, `\`, ""); !strings.Contains(metrics, "\n"+name) {
				t.Errorf("%s names %s, which is not there", file, name)
			}
		}
	}
}
