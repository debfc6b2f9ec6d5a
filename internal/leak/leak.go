package leak

import (
	"regexp"
	"runtime"
	"strings"
	"time"
)

// grace is how long a goroutine that is already ending may take to be gone.
const grace = 2 * time.Second

// TB is the part of testing.TB that Check needs.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(f func())
}

// Check reports, when the test and the clean-ups registered after this call are
// done, every goroutine that was not there at the call and does not end within
// two seconds. Call it first in a test, and not in tests that run in parallel
// with others: their goroutines cannot be told apart.
func Check(t TB) {
	t.Helper()
	check(t, grace)
}

func check(t TB, grace time.Duration) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		t.Helper()
		var left []string
		for end := time.Now().Add(grace); ; {
			if left = started(before, goroutines()); len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				break
			}
			pause := time.NewTimer(time.Millisecond)
			<-pause.C
		}
		for _, stack := range left {
			t.Errorf("leak: goroutine left running:\n%s", stack)
		}
	})
}

var header = regexp.MustCompile(`^goroutine (\d+) `)

// goroutines maps the number of every goroutine to its stack.
func goroutines() map[string]string {
	buf := make([]byte, 1<<16)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if m := header.FindStringSubmatch(stack); m != nil {
			all[m[1]] = stack
		}
	}
	return all
}

// started lists the stacks of now that are not in before, without those of the
// runtime and of package testing, which come and go by themselves.
func started(before, now map[string]string) []string {
	var out []string
	for id, stack := range now {
		if _, old := before[id]; old || harmless(stack) {
			continue
		}
		out = append(out, stack)
	}
	return out
}

func harmless(stack string) bool {
	_, frames, _ := strings.Cut(stack, "\n")
	for _, prefix := range []string{"testing.", "runtime.", "os/signal.", "runtime/trace."} {
		if strings.HasPrefix(frames, prefix) {
			return true
		}
	}
	return strings.Contains(stack, "created by runtime.") || strings.Contains(stack, "created by testing.")
}
