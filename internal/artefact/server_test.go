package artefact

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
)

// REQ-O59: the program that is built from this tree is scraped by Prometheus with the
// rules as they are shipped. None of them complains about a server that is idle.
func TestREQ_O59_Server(t *testing.T) {
	leak.Check(t)
	tool(t, "prometheus")
	const interval = 2 * time.Second
	var rules bytes.Buffer
	if err := WriteRules(&rules, RulesOptions{ScrapeInterval: interval}); err != nil {
		t.Fatal(err)
	}
	p := startPrometheus(t, interval, rules.Bytes(), startServer(t))
	const ticks = "lmcache_mp_l1_eviction_loop_ticks_total"
	await(t, "seven scrapes of the server", func() (string, bool) {
		got := p.query(t, "count_over_time("+ticks+"[1m])")
		return fmt.Sprint(got), len(got) == 1 && got[0].value() >= 7
	})
	rulesAreEvaluated(t, p)
	if got := p.query(t, "up"); len(got) != 1 || got[0].value() != 1 {
		t.Errorf("up: %v", got)
	}
	if got := p.query(t, "increase("+ticks+"[10s])"); len(got) != 1 || got[0].value() < 1 {
		t.Errorf("the loop does not tick: %v", got)
	}
	if all := p.firing(t); len(all) > 0 {
		t.Errorf("alerts of an idle server: %v", all)
	}
}

// startServer builds the program, runs its server until the test ends, and returns
// where it is scraped.
func startServer(t *testing.T) (target string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "lmcache")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/lmcache")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), bin, "server", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU",
		"--http-port", "0", "--prometheus-host", "127.0.0.1", "--prometheus-port", "0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, text := make(chan string, 1), new(strings.Builder)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(address)
		says := regexp.MustCompile(`INFO: metrics: http://(\S+)/metrics`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			if m := says.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("server: %v\n%s", err, text)
		}
	})
	target, ok := <-address
	if !ok {
		t.Fatal("the server ended before it said where its metrics are")
	}
	return target
}
