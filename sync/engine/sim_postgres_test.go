package engine_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"

	"callpoint/store/kv/pgkv/pgtest"
)

// The same seeds on a store in PostgreSQL end in the same totals as on a file, and the org
// and the store agree.
func TestSimulationOnPostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	seeds := 20
	if n, err := strconv.Atoi(os.Getenv("SIM_SEEDS")); err == nil {
		seeds = n
	} else if testing.Short() || simRace {
		seeds = 4
	}
	var file, database simTotals
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			url := server.URL(server.Schema(t))
			synctest.Test(t, func(t *testing.T) { file.add(simulate(t, seed)) })
			synctest.Test(t, func(t *testing.T) { database.add(simulate(t, seed, url)) })
		})
	}
	t.Logf("%d seeds: %d cycles, %d crashes, %d calls, %d records on each", seeds, database.cycles, database.died, database.calls, database.records)
	file.virtual, database.virtual = 0, 0 // a commit that is retried sleeps for a moment
	if a, b := fmt.Sprintf("%+v", &file), fmt.Sprintf("%+v", &database); a != b {
		t.Errorf("the totals differ:\nfile       %s\nPostgreSQL %s", a, b)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}
