package leak

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorder stands in for a test whose end the caller decides.
type recorder struct {
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func waitFor(stop <-chan struct{}) { <-stop }

func TestCheckReportsWhatIsLeft(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	var r recorder
	check(&r, 20*time.Millisecond)
	go waitFor(stop)
	r.end()
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "waitFor") {
		t.Fatalf("want one report that names waitFor, got %q", r.errors)
	}
}

func TestCheckAcceptsWhatHasEnded(t *testing.T) {
	var r recorder
	Check(&r)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		waitFor(stop)
	}()
	r.Cleanup(func() { close(stop) }) // clean-ups after Check run before its look
	r.end()
	<-done
	if len(r.errors) != 0 {
		t.Fatalf("want no report, got %q", r.errors)
	}
}

func TestCheckIgnoresWhatWasThere(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	go waitFor(stop)
	var r recorder
	Check(&r)
	r.end()
	if len(r.errors) != 0 {
		t.Fatalf("want no report, got %q", r.errors)
	}
}
