package monitor

import (
	"fmt"
	"strings"
)

// Line returns the headline for systemctl status, with the last cycle where all is well and
// with the cause where it is not. It changes with the minute, not with the second.
func (s *Server) Line() string {
	v := s.Status()
	switch {
	case v.State == StateWorking && len(v.Cycles) > 0:
		return v.Sentence + " " + did(v)
	case v.State != StateAttention:
		return strings.TrimSpace(v.Sentence + " " + v.Next)
	}
	var causes []string
	for _, c := range v.Checks {
		if c.Status != OK {
			causes = append(causes, c.Name+": "+c.Detail)
		}
	}
	return v.Sentence + " " + strings.Join(causes, "; ")
}

// did describes the last cycle.
func did(v StatusView) string {
	c := v.Cycles[0]
	return fmt.Sprintf("Last cycle %s: %s, %d waiting.", c.At.Format("15:04 UTC"), plural(c.Calls, "call", "calls"), v.Backlog.Due)
}
