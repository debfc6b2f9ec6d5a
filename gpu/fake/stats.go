package fake

import "sync/atomic"

// Stats counts what a Device has done. Bytes are those moved; slots of NoBlock
// move none.
type Stats struct {
	Gathers       int64 // that succeeded
	GatherBytes   int64
	Scatters      int64 // that succeeded
	ScatterBytes  int64
	FailedCopies  int64 // that ran and failed
	SkippedCopies int64 // left out behind a failure
	Records       int64
	MemoryBytes   int64 // device memory in use
	PinnedBytes   int64 // host memory pinned now
	Streams       int   // open now
}

type counters struct {
	gathers, gatherBytes   atomic.Int64
	scatters, scatterBytes atomic.Int64
	failed, skipped        atomic.Int64
	records                atomic.Int64
}

// Stats returns the counts as they are now. Safe for concurrent use; counts that
// move at the time may be from slightly different moments.
func (d *Device) Stats() Stats {
	s := Stats{
		Gathers:       d.counters.gathers.Load(),
		GatherBytes:   d.counters.gatherBytes.Load(),
		Scatters:      d.counters.scatters.Load(),
		ScatterBytes:  d.counters.scatterBytes.Load(),
		FailedCopies:  d.counters.failed.Load(),
		SkippedCopies: d.counters.skipped.Load(),
		Records:       d.counters.records.Load(),
		PinnedBytes:   d.pins.bytes(),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.MemoryBytes = d.mu.used
	s.Streams = len(d.mu.streams)
	return s
}
