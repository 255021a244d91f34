package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// vitals are what a daemon that runs for months must not have more and more of.
type vitals struct {
	Files, Goroutines int
	Anon, Store       int64 // bytes: anonymous memory that is resident, the store's file
}

func (v vitals) String() string {
	return fmt.Sprintf("%d file descriptors, %d goroutines, %.1f MiB of memory, %.1f MiB of store",
		v.Files, v.Goroutines, float64(v.Anon)/(1<<20), float64(v.Store)/(1<<20))
}

var (
	goroutinesLine = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)
	anonLine       = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB$`)
)

// vitals asks the kernel, and for goroutines the daemon itself.
func (d *running) vitals() (v vitals) {
	d.b.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		d.b.t.Fatal(err)
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		d.b.t.Fatal(err)
	}
	_, metrics := d.request(http.MethodGet, "/metrics", nil)
	v.Files = len(files)
	v.Goroutines = int(matched(d.b.t, goroutinesLine, metrics))
	v.Anon = matched(d.b.t, anonLine, status) << 10
	if fi, err := os.Stat(d.b.store); err == nil {
		v.Store = fi.Size()
	}
	return v
}

func matched(t testing.TB, line *regexp.Regexp, text []byte) int64 {
	t.Helper()
	m := line.FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not in %.2000s", line, text)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// leaked holds what leak lets go of no more.
var leaked []any

// leak is the mistake that the controls plant: at every step of a cycle files stay open,
// goroutines wait for ever, and memory is kept. It is four of each, because on a busy
// machine few steps are made.
func leak(string) {
	for range 4 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			panic(err)
		}
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		leaked = append(leaked, f, b)
		go func() { select {} }()
	}
}
