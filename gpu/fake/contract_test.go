package fake_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/gpu/gputest"
)

// harness opens the fake for the contract suite.
type harness struct{ *fake.Device }

func (h harness) Backend() gpu.Backend { return h.Device }

func (h harness) Hold()        { h.Pause() }
func (h harness) Release()     { h.Resume() }
func (h harness) BreakDevice() { h.Lose() }
func (h harness) FailNextCopy(err error) {
	h.Fail(fake.Fault{Kind: fake.Copy, Err: err})
}

// opener opens devices that fail the test on a violation, except in the parts
// that are about bad calls.
func opener(o fake.Options) gputest.Opener {
	return func(tb testing.TB) gputest.Harness {
		tb.Helper()
		opts := o
		if !strings.Contains(tb.Name(), "Errors") {
			opts.OnViolation = func(text string) { tb.Error(text) }
		}
		return harness{fake.New(opts)}
	}
}

// TestContract goes through all layouts with both clocks, and through one with
// every option that changes when work runs or what its time is.
func TestContract(t *testing.T) {
	t.Parallel()
	cost := fake.Cost{Latency: 3 * time.Microsecond, Bandwidth: 20e9}
	for _, tc := range []struct {
		name string
		all  bool
		o    fake.Options
	}{
		{"real", true, fake.Options{}},
		{"real detecting", false, fake.Options{Detect: true}},
		{"real slow", false, fake.Options{Gather: cost, Scatter: cost}},
		{"real other clock", false, fake.Options{ClockOffset: -time.Hour, ClockDrift: 200}},
		{"virtual", true, fake.Options{Clock: fake.Virtual, Detect: true}},
		{"virtual seed 1", false, fake.Options{Clock: fake.Virtual, Seed: 1}},
		{"virtual seed 2", false, fake.Options{Clock: fake.Virtual, Seed: 2, Gather: cost, Scatter: cost}},
		{"virtual drifting", false, fake.Options{Clock: fake.Virtual, ClockOffset: time.Hour, ClockDrift: -200, Gather: cost}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.all {
				gputest.Run(t, opener(tc.o))
			} else {
				gputest.RunLayout(t, opener(tc.o), gputest.Layouts()[0])
			}
		})
	}
}
