package fake

import (
	"math"
	"time"
)

// Clock says how the time of a Device passes.
type Clock uint8

const (
	// Real runs work on goroutines of the streams, and costs take real time.
	Real Clock = iota
	// Virtual runs work inside the calls that wait for it or step it, in an
	// order given by the seed, and costs only advance the device's clock.
	Virtual
)

// Cost is how long a copy takes: Latency plus its bytes over Bandwidth.
type Cost struct {
	Latency   time.Duration
	Bandwidth int64 // bytes per second; 0 is unlimited
}

// zero reports whether copies take no time beyond the copying itself.
func (c Cost) zero() bool { return c.Latency <= 0 && c.Bandwidth <= 0 }

// of is the time that a copy of n bytes takes.
func (c Cost) of(n int64) time.Duration {
	d := max(c.Latency, 0)
	if c.Bandwidth > 0 {
		d += time.Duration(math.Ceil(float64(n) / float64(c.Bandwidth) * float64(time.Second)))
	}
	return d
}

// Options configure a Device. The zero value is device 0 with the Real clock,
// unlimited memory and copies that take no longer than they take.
type Options struct {
	Index  int   // the number in the device's name
	Clock  Clock // Real or Virtual
	Manual bool  // Virtual: only Step, Run and Close run work, waiting does not

	// Seed makes the order in which streams are picked, under the Virtual clock
	// or by Step.
	Seed uint64

	// Now is the host's clock: what event times are given in. Nil is time.Now
	// with the Real clock, and with the Virtual clock a time that starts at
	// midnight of 1 January 2000 and stands where the device's latest work has
	// got to.
	Now func() time.Time

	Gather  Cost // of copies from blocks to host memory
	Scatter Cost // of copies from host memory to blocks

	ClockOffset time.Duration // device clock ahead of the host's
	ClockDrift  float64       // how much faster it runs, in parts per million

	MemoryBytes int64 // device memory; 0 is unlimited

	// Detect also looks for copies on the same memory that no event orders.
	// That costs time and memory for each copy.
	Detect bool

	OnViolation func(string) // called for each violation, by any goroutine
	OnWork      func(Work)   // called for each piece of work that has run
}

// Work describes a piece of work that has run.
type Work struct {
	Stream int // number of the stream, from 0 in order of opening
	Kind   Kind
	Group  int   // of a copy
	Blocks int   // of a copy, NoBlock included
	Bytes  int64 // that were moved
	Start  time.Time
	End    time.Time // Start and End in host clock terms
	Err    error
}
