package monitor

import (
	"fmt"
	"strings"
)

// Line is how callpoint stands, in one line for systemctl status: what is wrong, or
// what the last cycle did. It changes with the minute, not with the second.
func (s *Server) Line() string {
	v := s.Status()
	var wrong []string
	for _, c := range v.Checks {
		if c.Status != OK {
			wrong = append(wrong, c.Name+": "+c.Detail)
		}
	}
	switch {
	case len(v.Cycles) == 0:
		return "ready: the first cycle is under way"
	case v.Status == OK:
		return "ready: " + did(v)
	}
	return fmt.Sprintf("%s: %s", v.Status, strings.Join(wrong, "; "))
}

func did(v StatusView) string {
	c := v.Cycles[0]
	calls := fmt.Sprintf("%d calls", c.Calls)
	if c.Calls == 1 {
		calls = "1 call"
	}
	return fmt.Sprintf("%s in the last cycle, %d waiting, last success %s", calls, v.Backlog.Due, c.At.Format("15:04:05 UTC"))
}
