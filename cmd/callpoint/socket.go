package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// systemSocket is where the daemon of the shipped unit listens for local commands, whose
// environment lacks RUNTIME_DIRECTORY. Tests set it.
var systemSocket = "/run/callpoint/callpoint.sock"

// localSocket returns the Unix socket at which the daemon listens for local commands.
func (c *Config) localSocket() string {
	if path, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		return path
	}
	if c.RuntimeDir != "" {
		return filepath.Join(c.RuntimeDir, "callpoint.sock")
	}
	return c.besideSocket()
}

// besideSocket returns the socket beside the store or, where the store is no file, beside
// the spool.
func (c *Config) besideSocket() string {
	if c.shared() {
		if c.spoolOff() {
			return "callpoint.sock"
		}
		return c.Spool + ".sock"
	}
	if path, err := filepath.EvalSymlinks(c.Store); err == nil {
		return path + ".sock"
	}
	return c.Store + ".sock"
}

// localSockets returns where a command looks for the daemon.
func (c *Config) localSockets() []string {
	all := []string{c.localSocket()}
	if strings.HasPrefix(c.Listen, "unix:") {
		return all
	}
	if c.Store == systemStore {
		all = append(all, systemSocket)
	}
	if beside := c.besideSocket(); beside != all[0] {
		all = append(all, beside)
	}
	return all
}

// listenLocal opens the socket for local commands; nil where CALLPOINT_LISTEN is one. Its
// caller holds the store's lock, so a socket that exists is one that a killed process left.
func (c *Config) listenLocal(ctx context.Context) (net.Listener, error) {
	if strings.HasPrefix(c.Listen, "unix:") {
		return nil, nil
	}
	path := c.localSocket()
	fi, err := os.Lstat(path)
	switch {
	case err == nil && fi.Mode()&os.ModeSocket == 0:
		return nil, fmt.Errorf("%s is in the way and is not a socket", path)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	short, done, err := shortSocket(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by then the short name may lead elsewhere
	if err := os.Chmod(short, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return localListener{l, path}, nil
}

// A localListener removes its socket when it is closed.
type localListener struct {
	net.Listener
	path string
}

func (l localListener) Close() error {
	_ = os.Remove(l.path)
	return l.Listener.Close()
}

// shortSocket returns a name of at most 107 bytes, as many as an address of a Unix socket
// holds, for a path of any length. It is valid until done is called.
func shortSocket(path string) (short string, done func(), err error) {
	if len(path) <= 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// dialLocal connects to the daemon's socket, if the peer is root or the owner of the socket:
// the token is for nobody else.
func dialLocal(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortSocket(path)
	if err != nil {
		return nil, err
	}
	defer done()
	fi, err := os.Stat(short)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	peer, err := peerOf(conn)
	if err == nil {
		err = trusted(path, peer, fi)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// trusted returns an error unless the peer's user is root or the owner of the socket.
func trusted(path string, uid uint32, socket os.FileInfo) error {
	if owner := socket.Sys().(*syscall.Stat_t).Uid; uid != 0 && uid != owner {
		return fmt.Errorf("%s belongs to the user with id %d, but the user with id %d answers there: no token is sent to it", path, owner, uid)
	}
	return nil
}

// peerOf returns the user of the process at the other end of a Unix socket.
func peerOf(conn net.Conn) (uid uint32, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(cerr, err); err != nil {
		return 0, fmt.Errorf("peer of the daemon's socket: %w", err)
	}
	return cred.Uid, nil
}

// remoteHost reports whether CALLPOINT_LISTEN names another machine. On this one a port may
// have been taken by anybody while the daemon does not run.
func (c *Config) remoteHost() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil || host == "" || c.listensOnLoopback() {
		return false
	}
	addrs, err := net.LookupHost(host)
	if err != nil {
		return true // dialling reports it
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(addrs, func(a string) bool {
		addr, err := netip.ParseAddr(a)
		return err != nil || addr.IsLoopback() || addr.IsUnspecified() || slices.ContainsFunc(own, func(n net.Addr) bool {
			prefix, err := netip.ParsePrefix(n.String())
			return err == nil && prefix.Addr().Unmap() == addr.Unmap()
		})
	})
}
