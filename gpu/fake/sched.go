package fake

// Pause holds all work back until Resume, except what Step and Run are asked to
// run. It returns when no work is running. Verbs go on queueing work.
func (d *Device) Pause() {
	d.gate.paused.Store(true)
	d.quiesce()
}

// Resume ends Pause.
func (d *Device) Resume() {
	d.gate.paused.Store(false)
	d.gate.notify()
}

// Hang keeps all work from running, also in Step and Run, until Release, Lose
// or Close. It returns when no work is running.
func (d *Device) Hang() {
	d.gate.hung.Store(true)
	d.quiesce()
}

// Release ends Hang, and the Stick of a Fault.
func (d *Device) Release() {
	d.gate.hung.Store(false)
	for _, s := range d.streams(nil) {
		s.run.Lock()
		s.run.stuck = false
		s.run.Unlock()
	}
	d.gate.notify()
}

// quiesce returns when each stream has been seen between two pieces of work.
func (d *Device) quiesce() {
	for _, s := range d.streams(nil) {
		s.run.Lock()
		s.run.Unlock() //nolint:staticcheck // waits for the work that is running
	}
}

// Step runs one piece of work of one stream, picked by the seed among those that
// have work that nothing holds back, and reports whether there was one. It works
// under Pause. With the Real clock it is of use only there.
func (d *Device) Step() bool {
	d.sched.Lock()
	defer d.sched.Unlock()
	list := d.streams(d.sched.runnable[:0])
	defer func() { clear(list); d.sched.runnable = list }()
	runnable := list[:0]
	for _, s := range list {
		if s.ready() {
			runnable = append(runnable, s)
		}
	}
	for len(runnable) > 0 {
		i := d.sched.rng.IntN(len(runnable))
		if runnable[i].step() {
			return true
		}
		runnable = append(runnable[:i], runnable[i+1:]...) // somebody else ran it
	}
	return false
}

// Run calls Step until nothing is left to run and returns how often it was.
func (d *Device) Run() int {
	n := 0
	for d.Step() {
		n++
	}
	return n
}

// Step runs the next piece of work of this stream and reports whether there was
// one that nothing holds back: it lets a test choose the order of streams.
func (s *Stream) Step() bool {
	s.dev.sched.Lock()
	defer s.dev.sched.Unlock()
	return s.step()
}

// drives reports whether those who wait run the scheduler themselves.
func (d *Device) drives() bool {
	return d.opts.Clock == Virtual && !d.opts.Manual && !d.gate.pausing()
}
