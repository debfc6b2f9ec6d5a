package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// VirtualOptions configures the world of OpenVirtual.
type VirtualOptions struct {
	Start time.Time // virtual time at the beginning; zero: 1 January 2000 UTC
	Seed  uint64    // of all randomness

	// Models say how long calls of the tiers take, one for each. A tier without an
	// Adapter keeps keys and sizes only, and the bytes of what it loads are
	// unspecified; one that has an Adapter asks it when the call's time is over: it
	// must not block.
	Models []Model
}

// Model is the time of calls on a tier: the latency, and then the bytes at the
// bandwidth, which the calls of a tier share. Slots and capacity are those of the
// tier's settings.
type Model struct {
	Latency        time.Duration
	BytesPerSecond int64 // 0: bytes take no time
}

// ModelOf is the model of a type of adapter. It does not know those of hosts, and
// "mock" and "fault_inject", whose time depends on their configuration.
func ModelOf(adapter string) (Model, bool) {
	switch adapter {
	case "mem":
		return Model{2 * time.Microsecond, 10e9}, true
	case "fs", "fs_native":
		return Model{100 * time.Microsecond, 2e9}, true
	case "resp", "redis", "valkey":
		return Model{200 * time.Microsecond, 1e9}, true
	case "s3":
		return Model{20 * time.Millisecond, 1e9}, true
	}
	return Model{}, false
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
	if len(v.Models) != len(o.Tiers) {
		return nil, nil, fmt.Errorf("storage: OpenVirtual: Models: got %d for %d tiers", len(v.Models), len(o.Tiers))
	}
	o.modelled = true
	w := &Virtual{}
	free := make([]time.Time, len(v.Models)) // by tier: when its bandwidth is free again
	w.rt = runtime.NewVirtual(runtime.VirtualOptions{
		Start: v.Start, Seed: v.Seed,
		Cost: func(c runtime.Call) time.Duration {
			m, now := v.Models[c.Tier], w.rt.Now()
			end := now.Add(m.Latency)
			if m.BytesPerSecond > 0 && c.Bytes > 0 {
				if free[c.Tier].After(end) {
					end = free[c.Tier]
				}
				end = end.Add(time.Duration(float64(c.Bytes) / float64(m.BytesPerSecond) * float64(time.Second)))
				free[c.Tier] = end
			}
			return end.Sub(now)
		},
		After: func(now time.Time) {
			if o.Bus != nil {
				o.Bus.Drain(now)
			}
		},
	})
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

// Due reports whether something else is to happen at the present time.
func (v *Virtual) Due() bool { return v.rt.Due() }

// Run goes on until no input and no call is outstanding; timers alone do not keep
// it running.
func (v *Virtual) Run() { v.rt.Run() }

// RunUntil handles what is due until t and moves the time there.
func (v *Virtual) RunUntil(t time.Time) { v.rt.RunUntil(t) }

// When calls f as soon as p has resolved, as an input from outside.
func (v *Virtual) When(p *Prefetch, f func()) {
	if p.f == nil {
		v.rt.Input(v.rt.Now(), f)
		return
	}
	p.f.c.when(p.f, func() { v.rt.Input(v.rt.Now(), f) })
}
