package servertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to start or end.
const patience = 30 * time.Second

// process is a running program.
type process struct {
	tb   testing.TB
	name string
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed when it has ended
}

// output collects what a program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// find is the path of a program; the test is skipped if there is none.
func find(tb testing.TB, program string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Skipf("%s is not installed: make tools", program)
	}
	return path
}

// start runs a program and waits until ready says so. A program that ends before is
// an error: somebody else may have got its port.
func start(tb testing.TB, ready func() bool, path string, args, env []string) (*process, error) {
	tb.Helper()
	//nolint:gosec // tests choose the program
	p := &process{tb: tb, name: path, cmd: exec.CommandContext(tb.Context(), path, args...), done: make(chan struct{})}
	p.cmd.Env = append(p.cmd.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = sysProcAttr()
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	tb.Cleanup(p.kill)
	deadline := time.Now().Add(patience)
	for !ready() {
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s ended at once:\n%s", path, &p.out)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s is not ready after %v:\n%s", path, patience, &p.out)
		}
	}
	return p, nil
}

// Eventually calls f again and again until it returns nil.
func Eventually(tb testing.TB, f func() error) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// kill ends it at once; idempotent.
func (p *process) kill() { p.signal(syscall.SIGKILL, true) }

func (p *process) signal(s syscall.Signal, wait bool) {
	_ = p.cmd.Process.Signal(s)
	if !wait {
		return
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.tb.Errorf("%s does not end", p.name)
	}
}

// stopped waits until all threads of the process stand still, which on a busy machine
// they do some time after the signal. Where there is no /proc it does not wait.
func (p *process) stopped() {
	p.tb.Helper()
	Eventually(p.tb, func() error {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil {
			return err
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // the thread has ended
			}
			if _, state, _ := bytes.Cut(text, []byte(") ")); !bytes.HasPrefix(state, []byte("T")) {
				return fmt.Errorf("%s goes on after it was stopped: %s", p.name, text)
			}
		}
		return nil
	})
}

// Servers get ports that systems do not give away, as those from 32768 on are: while one
// is killed, no connection and no server of somebody else gets its port.
const (
	firstPort = 15_000
	lastPort  = 32_000
)

// freePort is a port of the loopback interface that nobody listens on.
func freePort(tb testing.TB) int {
	tb.Helper()
	var err error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(tb.Context(), "tcp", loopback(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	tb.Fatal(err)
	return 0
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// dial connects, for a second.
func dial(tb testing.TB, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(tb.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(time.Second))
}

// listens reports whether somebody accepts connections at an address.
func listens(tb testing.TB, addr string) bool {
	c, err := dial(tb, addr)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
