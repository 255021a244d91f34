package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A process is one program under measurement.
type process struct {
	cmd   *exec.Cmd
	began time.Time
	out   bytes.Buffer // what it wrote to standard error
	peak  atomic.Int64 // of anonymous memory, in bytes
	stop  chan struct{}
	seen  chan struct{}
}

// usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	peak      int64
}

func start(env []string, stdout io.Writer, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), began: time.Now(), stop: make(chan struct{}), seen: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = stdout, &p.out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

// watch looks at the process's memory until it ends. A peak shorter than a few
// milliseconds can be missed.
func (p *process) watch() {
	defer close(p.seen)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.peak.Store(max(p.peak.Load(), p.anonymous()))
		}
	}
}

// anonymous is the memory that belongs to the process alone: the pages of a mapped
// store are the page cache's, and not counted.
func (p *process) anonymous() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("RssAnon:"))
	kB, _, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
	n, _ := strconv.ParseInt(kB, 10, 64)
	return n << 10
}

// cpu is what a running process has taken, in the kernel's ticks of 10 ms.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// wait is for a process that ends by itself.
func (p *process) wait() (usage, error) {
	err := p.cmd.Wait()
	u := usage{wall: time.Since(p.began), cpu: p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()}
	close(p.stop)
	<-p.seen
	u.peak = p.peak.Load()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(p.cmd.Args, " "), err, p.out.String())
	}
	return u, err
}

// end stops a daemon.
func (p *process) end() (usage, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return usage{}, err
	}
	return p.wait()
}

// run measures a program from start to end.
func run(env []string, name string, args ...string) (usage, error) {
	p, err := start(env, nil, name, args...)
	if err != nil {
		return usage{}, err
	}
	return p.wait()
}

// firstLines starts a program and reads n lines of what it prints.
func firstLines(n int, env []string, name string, args ...string) (*process, []string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p, err := start(env, w, name, args...)
	w.Close()
	if err != nil {
		return nil, nil, err
	}
	var lines []string
	for s := bufio.NewScanner(r); len(lines) < n && s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) < n {
		_, err := p.wait()
		return nil, nil, fmt.Errorf("%s ended: %w", name, err)
	}
	return p, lines, nil
}

// A meter passes connections on and counts what goes to and fro.
type meter struct {
	l        net.Listener
	to       string
	sent     atomic.Int64
	received atomic.Int64
}

func newMeter(to string) (*meter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &meter{l: l, to: to}
	go m.serve()
	return m, nil
}

func (m *meter) serve() {
	for {
		in, err := m.l.Accept()
		if err != nil {
			return
		}
		go m.pass(in)
	}
}

func (m *meter) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", m.to)
	if err != nil {
		return
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		copyCounting(out, in, &m.sent)
		out.(*net.TCPConn).CloseWrite()
		close(done)
	}()
	copyCounting(in, out, &m.received)
	in.(*net.TCPConn).CloseWrite()
	<-done
}

// copyCounting counts as it goes: connections outlive the program that is measured.
func copyCounting(to io.Writer, from io.Reader, n *atomic.Int64) {
	buf := make([]byte, 64<<10)
	for {
		k, err := from.Read(buf)
		n.Add(int64(k))
		if _, werr := to.Write(buf[:k]); err != nil || werr != nil {
			return
		}
	}
}
