package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The limit of Go's memory comes from the unit's MemoryMax, wherever in the tree of control
// groups it is set.
func TestMemoryLimitOfControlGroups(t *testing.T) {
	t.Parallel()
	const gib = "1073741824\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"the unit's own", map[string]string{"proc/self/cgroup": "0::/system.slice/callpoint.service\n",
			"sys/fs/cgroup/system.slice/callpoint.service/memory.max": gib, "sys/fs/cgroup/system.slice/memory.max": "max\n"}, 1 << 30},
		{"one above it is less", map[string]string{"proc/self/cgroup": "0::/system.slice/callpoint.service\n",
			"sys/fs/cgroup/system.slice/callpoint.service/memory.max": gib, "sys/fs/cgroup/system.slice/memory.max": "536870912\n"}, 512 << 20},
		{"a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": gib}, 1 << 30},
		{"version 1", map[string]string{"proc/self/cgroup": "6:cpu,cpuacct:/x\n5:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": gib, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1 << 30},
		{"none", map[string]string{"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/memory.max": "max\n"}, 0},
		{"no control groups", nil, 0},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := cgroupMemory(root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// resident returns the resident memory of a process, in MiB, and its highest so far.
func resident(t *testing.T, pid int) (now, peak int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) int {
		n, err := strconv.Atoi(regexp.MustCompile(name + `:\s+(\d+) kB`).FindStringSubmatch(string(text))[1])
		if err != nil {
			t.Fatal(err)
		}
		return n >> 10
	}
	return read("VmRSS"), read("VmHWM")
}

// Thousands of unfinished bodies of twenty addresses, as large as a browser may send them, take
// the daemon little memory, and others are served meanwhile.
func TestUnfinishedBodies(t *testing.T) {
	t.Parallel()
	connections := proofCycles(t, "HOSTILE_BODIES", 400)
	if testing.Short() && os.Getenv("HOSTILE_BODIES") == "" {
		connections = 200
	}
	b := newBench(t)
	d := b.daemon()
	before, _ := resident(t, d.cmd.Process.Pid)
	address := strings.TrimPrefix(d.url, "http://")
	part := "_biz_u=" + strings.Repeat("a", 60_000)
	answers := map[int]int{}
	var open []net.Conn
	for i := range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /m/ipv HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.%d\r\nContent-Type: text/plain\r\nContent-Length: 65000\r\n\r\n%s", i%20, part); err != nil {
			continue // it was refused before it was sent
		}
		open = append(open, conn)
	}
	d.send(view("meanwhile", yesterday("12:00:00"), "https://www.example.com/", ""))
	_, peak := resident(t, d.cmd.Process.Pid)
	for _, conn := range open {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			answers[0]++ // reset, because its body was not read
			continue
		}
		resp.Body.Close()
		answers[resp.StatusCode]++
	}
	t.Logf("%d connections: %d MiB before, at most %d MiB; answers by status %v", connections, before, peak, answers)
	if peak-before > 256 { // of the unit's 1 GiB
		t.Errorf("the bodies took %d MiB", peak-before)
	}
	if answers[http.StatusNoContent] > 0 || answers[http.StatusRequestTimeout] == 0 {
		t.Errorf("no body was waited for: no proof (%v)", answers)
	}
	d.stop()
}

// A client that sends half a body does not delay the stop, nor make it look like a failure.
func TestStopWithASlowClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	address := strings.TrimPrefix(d.url, "http://")
	for _, path := range []string{"/v1/events", "/m/ipv", "/v1/report"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", path); err != nil {
			t.Fatal(err)
		}
	}
	d.until("/readyz", http.StatusOK)
	d.stop() // it must end with 0
	if strings.Contains(d.logs.String(), "cycle still running") {
		t.Errorf("the log blames the cycle:\n%s", d.logs)
	}
}
