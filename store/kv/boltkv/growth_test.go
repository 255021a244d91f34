package boltkv

import (
	"testing"
)

// A small file grows by little, so that little of it is unused.
func TestFileGrowsInStepsOfItsSize(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	fill(t, db, 50, 1000)
	for _, at := range []string{"written", "compacted"} {
		file, used, err := db.Size()
		if err != nil || used < 5<<20 || file > used+used/8+2<<20 {
			t.Errorf("%s: %d bytes of which %d are in use, %v", at, file, used, err)
		}
		if _, _, err := db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ size, limit, want int64 }{
		{0, 0, 1 << 20}, {64 << 20, 0, 4 << 20}, {1 << 30, 0, 16 << 20}, {1 << 30, 32 << 20, 2 << 20}, {1 << 30, 8 << 20, 1 << 20},
	} {
		if got := (Options{MaxSize: c.limit}).growthStep(c.size); int64(got) != c.want {
			t.Errorf("%d bytes, limit %d: step %d, want %d", c.size, c.limit, got, c.want)
		}
	}
}
