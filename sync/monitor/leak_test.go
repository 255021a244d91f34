package monitor

import (
	"testing"

	"go.uber.org/goleak"
)

// No goroutine of any test is left when all have ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
