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

func TestContract(t *testing.T) {
	t.Parallel()
	cost := fake.Cost{Latency: 3 * time.Microsecond, Bandwidth: 20e9}
	for name, o := range map[string]fake.Options{
		"real":             {},
		"real detecting":   {Detect: true},
		"real slow":        {Gather: cost, Scatter: cost},
		"real other clock": {ClockOffset: -time.Hour, ClockDrift: 200},
		"virtual":          {Clock: fake.Virtual},
		"virtual seed 1":   {Clock: fake.Virtual, Seed: 1, Detect: true},
		"virtual seed 2":   {Clock: fake.Virtual, Seed: 2, Gather: cost, Scatter: cost},
		"virtual drifting": {Clock: fake.Virtual, ClockOffset: time.Hour, ClockDrift: -200, Gather: cost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gputest.Run(t, opener(o))
		})
	}
}
