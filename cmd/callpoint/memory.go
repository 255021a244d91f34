package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory sets the limit of Go's memory (GOMEMLIMIT) to four fifths of what the control
// groups of the process allow: the rest is for the mapped store and the kernel's buffers.
// It returns the limit; 0 where there is none, or where GOMEMLIMIT is set. root is "/".
func limitMemory(root string) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	allowed := cgroupMemory(root)
	if allowed == 0 {
		return 0
	}
	limit := allowed / 5 * 4
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroupMemory returns the least memory limit of the process's control group and those above
// it, of version 2 or 1; 0 for none.
func cgroupMemory(root string) (least int64) {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(groups)) {
		// 0::/system.slice/callpoint.service or 5:memory:/system.slice/callpoint.service
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		top, file := filepath.Join(root, "sys/fs/cgroup"), "memory.max"
		switch {
		case controllers == "memory":
			top, file = filepath.Join(top, "memory"), "memory.limit_in_bytes"
		case controllers != "":
			continue
		}
		for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
			text, err := os.ReadFile(filepath.Join(top, dir, file))
			n, nerr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			// Version 1 has a very large number for no limit, version 2 the word max.
			if err == nil && nerr == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}
