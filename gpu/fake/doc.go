// Package fake is a gpu.Backend in host memory, for tests and for machines
// without a device. It keeps the promises of package gpu no better than a real
// device does: work runs later than the call, in any order between streams that
// no event orders, sources are read and destinations written when the work
// runs, its clock runs differently from the host's, and it fails when told to.
//
// # Two clocks
//
// With the Real clock each stream has a goroutine that runs queued work soon
// after the call. Work takes no longer than the copying itself unless
// Options.Gather and Options.Scatter give it a cost, which then passes in real
// time.
//
// With the Virtual clock there is no goroutine and nothing sleeps. A scheduler
// picks among the streams that have something to run, in an order that follows
// from Options.Seed, and the stream's device time advances by the cost of the
// work. The scheduler runs inside Step, Run, Close and, unless Options.Manual is
// set, inside Done and Wait of the device's events, so that code that waits or
// polls makes progress. Equal calls, made by one goroutine, give equal orders,
// equal bytes and equal times.
//
// # Test hooks
//
// Pause holds all work back, Step then runs one piece of it. Hang keeps work
// from running as a stuck device does, Release ends that, Lose makes the device
// fail for good, Fail injects single faults. Block, Upload and Download are the
// ways to look at device memory from outside a stream. What a correct caller
// never does (use after close, copies out of bounds, a stream used by two
// goroutines at once, with Options.Detect also copies that race) is collected by
// Violations.
//
// Lock order: the scheduler, a stream's run lock (several in order of their
// numbers), then any of the others, of which none is held while taking another.
// Kernels and the hooks of Options may be called with the first two held: they
// must neither wait for the device nor ask its events, and may queue work.
package fake
