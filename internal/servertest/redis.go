package servertest

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a running server.
type Server struct {
	Addr string // HOST:PORT

	tb    testing.TB
	begin func() (*process, error)
	p     *process
}

// Redis starts an empty redis-server that keeps nothing on disk, with more arguments.
func Redis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return redis(tb, func() []string { return args })
}

// redis starts a server with arguments that are made anew for each try.
func redis(tb testing.TB, args func() []string) *Server {
	tb.Helper()
	path, dir := find(tb, "redis-server"), tb.TempDir()
	var err error
	for range tries {
		port := freePort(tb)
		s := &Server{Addr: loopback(port), tb: tb}
		all := append([]string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
		}, args()...)
		s.begin = func() (*process, error) {
			return start(tb, func() bool { return pings(tb, s.Addr) }, path, all, nil)
		}
		if s.p, err = s.begin(); err == nil {
			return s
		}
	}
	tb.Fatal(err)
	return nil
}

// tries is how often another port is tried.
const tries = 5

// Kill ends the server at once.
func (s *Server) Kill() { s.p.kill() }

// Restart starts it again, at the same address.
func (s *Server) Restart() {
	s.tb.Helper()
	s.p.kill()
	p, err := s.begin()
	if err != nil {
		s.tb.Fatal(err)
	}
	s.p = p
}

// Hang stops the server without ending it: connections are accepted and nothing answers.
func (s *Server) Hang() {
	s.p.signal(syscall.SIGSTOP, false)
	s.p.stopped()
}

// Resume ends Hang.
func (s *Server) Resume() { s.p.signal(syscall.SIGCONT, false) }

// Follow makes a Redis a replica of another one; of nil: a master.
func (s *Server) Follow(master *Server) {
	s.tb.Helper()
	of := "NO ONE"
	if master != nil {
		of = strings.Replace(master.Addr, ":", " ", 1)
	}
	s.Command("REPLICAOF " + of)
}

// Command has a Redis obey an inline command.
func (s *Server) Command(command string) {
	s.tb.Helper()
	if answer, err := ask(s.tb, s.Addr, command); err != nil || !strings.HasPrefix(answer, "+OK") {
		s.tb.Fatalf("%s: %q, %v", command, answer, err)
	}
}

// pings reports whether a Redis answers, if only that it wants a password.
func pings(tb testing.TB, addr string) bool {
	answer, err := ask(tb, addr, "PING")
	return err == nil && (strings.HasPrefix(answer, "+PONG") || strings.HasPrefix(answer, "-NOAUTH"))
}

// ask sends one inline command and returns the answer, which is short.
func ask(tb testing.TB, addr, command string) (string, error) {
	c, err := dial(tb, addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// RedisCluster starts a cluster of three masters and returns their addresses.
func RedisCluster(tb testing.TB) []string {
	tb.Helper()
	cli := find(tb, "redis-cli")
	var addrs []string
	for range 3 {
		// The nodes talk to each other on a second port, which is 10,000 higher unless told.
		s := redis(tb, func() []string {
			return []string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(tb))}
		})
		addrs = append(addrs, s.Addr)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	//nolint:gosec // found in the path
	if out, err := exec.CommandContext(tb.Context(), cli, append(args, "--cluster-yes")...).CombinedOutput(); err != nil {
		tb.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	deadline := time.Now().Add(patience)
	for _, addr := range addrs {
		for !clusterReady(tb, addr) {
			if time.Now().After(deadline) {
				tb.Fatalf("the cluster is not ready after %v", patience)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	return addrs
}

// clusterReady reports whether a node knows that all slots are served.
func clusterReady(tb testing.TB, addr string) bool {
	info, err := ask(tb, addr, "CLUSTER INFO")
	return err == nil && strings.Contains(info, "cluster_state:ok")
}
