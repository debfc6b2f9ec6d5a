package storage

import (
	"context"
	"errors"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// VirtualOptions configures the world of OpenVirtual.
type VirtualOptions struct {
	Start time.Time // virtual time at the beginning; zero: 1 January 2000 UTC
	Seed  uint64    // of all randomness
}

// Virtual is the world of a manager that runs in virtual time, on one goroutine.
type Virtual struct{ rt *runtime.Virtual }

// OpenVirtual builds the same manager as Open over virtual time: the results, the
// victims and the events are a function of the sequence of inputs only. A bus in
// the options must be made with eventbus.Options.Manual; it is drained after each
// step. The manager and the world belong to one goroutine. The options must not
// name a Runtime.
func OpenVirtual(o Options, v VirtualOptions) (*Manager, *Virtual, error) {
	if o.Runtime != nil {
		return nil, nil, errors.New("storage: OpenVirtual: Runtime: must be nil, it brings its own")
	}
	w := &Virtual{rt: runtime.NewVirtual(runtime.VirtualOptions{
		Start: v.Start, Seed: v.Seed,
		After: func(now time.Time) {
			if o.Bus != nil {
				o.Bus.Drain(now)
			}
		},
	})}
	o.Runtime = w.rt
	m, err := Open(context.Background(), o) //nolint:forbidigo // opening does not wait
	if err != nil {
		return nil, nil, err
	}
	return m, w, nil
}

// Now is the virtual time.
func (v *Virtual) Now() time.Time { return v.rt.Now() }

// At calls f at a virtual time, as an input from outside.
func (v *Virtual) At(t time.Time, f func()) { v.rt.Input(t, f) }

// Run goes on until no input and no call is outstanding; timers alone do not keep
// it running.
func (v *Virtual) Run() { v.rt.Run() }

// RunUntil handles what is due until t and moves the time there.
func (v *Virtual) RunUntil(t time.Time) { v.rt.RunUntil(t) }

// When calls f as soon as p has resolved.
func (v *Virtual) When(_ *Prefetch, f func()) { v.rt.Input(v.rt.Now(), f) }
