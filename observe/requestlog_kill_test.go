package observe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// killedLog names the file that a process of this test writes until it is killed.
const killedLog = "LMCACHE_TEST_KILLED_LOG"

// REQ-O53: of a process that is killed while it writes, every line but possibly the last
// is whole, and the next process goes on with whole lines.
func TestREQ_O53_Kill(t *testing.T) {
	if path := os.Getenv(killedLog); path != "" {
		writeUntilKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestREQ_O53_Kill$")
	cmd.Env = append(os.Environ(), killedLog+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "writing\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	if err := cmd.Wait(); !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("ended by itself: %v", err)
	}
	whole := intactLines(t, path, false)
	f, err := OpenRotatingFile(path, RotatingFileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, f, "{\"session_id\":\"next\"}\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n := intactLines(t, path, true); n != whole+1 || whole < 1000 {
		t.Errorf("%d whole lines after the kill, %d after the next run", whole, n)
	}
}

// intactLines counts the lines that are JSON. All must be, but for what follows the last
// end of a line, which must be nothing if ended is set.
func intactLines(t *testing.T, path string, ended bool) (n int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		switch {
		case json.Valid(line) && bytes.HasSuffix(line, newline):
			n++
		case ended || bytes.HasSuffix(line, newline):
			t.Errorf("line %d: %q", n+1, line)
		}
	}
	return n
}

// writeUntilKilled writes lines without end, and says so when there are some.
func writeUntilKilled(t *testing.T, path string) {
	t.Helper()
	f, err := OpenRotatingFile(path, RotatingFileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bus := eventbus.New(eventbus.Options{Manual: true})
	log, err := NewRequestLog(f, RequestLogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Subscribe(log); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		publish(bus, lmcache.RequestReceipt{SessionID: fmt.Sprint(i), Model: "m", Outcome: "hit"})
		if i%7 == 0 {
			bus.Drain(epoch)
		}
		if i == 2000 {
			_, _ = os.Stdout.WriteString("writing\n")
		}
	}
}
