package lmcache

import (
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/storage"
)

// LoopStats is a background loop at one moment; see l1.LoopStats.
type LoopStats = storage.LoopStats

// Names of the engine's own loops.
const (
	LoopSessions  = "sessions"  // renews leases, ends what is forsaken, detaches silent workers
	LoopStores    = "stores"    // settles stores that a device is done with; of all workers the slowest
	LoopRetrieves = "retrieves" // the same of retrieves
)

// loops are those of the storage manager and of the engine.
func (e *Engine) loops(below []LoopStats, workers []*Worker) []LoopStats {
	var stores, loads time.Duration
	for _, w := range workers {
		stores, loads = max(stores, w.stores.stalled()), max(loads, w.loads.stalled())
	}
	return append(slices.Clip(below),
		LoopStats{Name: LoopSessions, Stalled: e.alarms.stalled()},
		LoopStats{Name: LoopStores, Stalled: stores},
		LoopStats{Name: LoopRetrieves, Stalled: loads})
}
