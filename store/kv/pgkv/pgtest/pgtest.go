// Package pgtest starts PostgreSQL for tests: Debian's package, with initdb and postgres
// run as the user postgres when the test runs as root.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Missing is why a test without PostgreSQL did not run.
const Missing = "not run: PostgreSQL is missing (Debian: postgresql)"

// Find returns the folder with the newest PostgreSQL's programs; empty if there is none.
func Find() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	for _, p := range []string{"/usr/local/bin/postgres", "/usr/bin/postgres", "/opt/homebrew/bin/postgres"} {
		if _, err := os.Stat(p); err == nil {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// A Server is one running PostgreSQL.
type Server struct {
	bin, dir string
	port     int
	attr     *syscall.SysProcAttr
	options  []string
	process  *exec.Cmd
}

// New makes a data folder below dir and starts a server on a loopback port.
func New(dir string, options ...string) (*Server, error) {
	s := &Server{bin: Find(), dir: dir, options: options, attr: &syscall.SysProcAttr{Setpgid: true}}
	if s.bin == "" {
		return nil, errors.New(Missing)
	}
	endWithUs(s.attr)
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		// Every folder above must let the user through.
		for d := filepath.Dir(dir); len(d) > 1 && d != os.TempDir(); d = filepath.Dir(d) {
			if fi, err := os.Stat(d); err == nil && fi.Mode().Perm()&0o001 == 0 {
				if err := os.Chmod(d, fi.Mode().Perm()|0o011); err != nil {
					return nil, err
				}
			}
		}
	}
	out, err := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	return s, s.Start()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.SysProcAttr, c.Dir = s.attr, s.dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	return c
}

// Start starts the server and waits until it answers.
func (s *Server) Start() error {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.dir,
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "log_min_messages=fatal"}
	for _, o := range s.options {
		args = append(args, "-c", o)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		s.process = s.command("postgres", args...)
		s.process.Stdout, s.process.Stderr = log, log
		if err := s.process.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func(p *exec.Cmd) { ended <- p.Wait() }(s.process)
		err := s.answers(ctx, ended)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // processes of one that was killed have not ended yet
	}
}

// answers waits until the server takes connections.
func (s *Server) answers(ctx context.Context, ended <-chan error) error {
	for {
		c, err := pgx.Connect(ctx, s.URL(""))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("postgres has ended: %s", text)
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the server as kill -9 does, with every process of it.
func (s *Server) Kill() error { return syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL) }

// Signal sends a signal to every process of the server.
func (s *Server) Signal(sig syscall.Signal) error { return syscall.Kill(-s.process.Process.Pid, sig) }

// Stop ends the server.
func (s *Server) Stop() { _ = s.Kill() }

// Addr returns the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns that of the server, with a schema as the search path unless it is empty.
func (s *Server) URL(schema string) string { return URL(s.Addr(), schema) }

// URL returns that of a server or of a proxy before it.
func URL(addr, schema string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: addr, Path: "/postgres"}
	q := url.Values{"sslmode": {"disable"}}
	if schema != "" {
		q.Set("search_path", schema)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// shared is one server for all tests of a package.
var shared struct {
	once   sync.Once
	server *Server
	dir    string
	err    error
	next   atomic.Int64
}

// Shared returns the server of the package's tests, which it starts. A test without
// PostgreSQL is skipped.
func Shared(t testing.TB) *Server {
	t.Helper()
	if Find() == "" {
		t.Skip(Missing)
	}
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "pg"); shared.err == nil {
			shared.server, shared.err = New(shared.dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// StopShared ends the server of the package's tests. TestMain calls it last.
func StopShared() {
	if shared.server != nil {
		shared.server.Stop()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
}

// Schema makes an empty schema on a server, which it drops at the end of the test, and
// returns its name.
func (s *Server) Schema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), shared.next.Add(1))
	s.Exec(t, "CREATE SCHEMA "+name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c, err := pgx.Connect(ctx, s.URL("")); err == nil {
			_, _ = c.Exec(ctx, "DROP SCHEMA "+name+" CASCADE")
			_ = c.Close(ctx)
		}
	})
	return name
}

// Exec runs one statement.
func (s *Server) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
