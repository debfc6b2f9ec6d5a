package storage

// MissReason says why a key was not found. MissNone means that it was.
type MissReason uint8

// Miss reasons. The last two are the engine's.
const (
	MissNone           MissReason = iota
	MissAbsent                    // never seen
	MissEvicted                   // seen, and removed since
	MissStaged                    // another writer is at it
	MissL2                        // asked of the outer tiers, not there
	MissL2IO                      // an outer tier failed
	MissL2Corrupt                 // an outer tier's bytes failed verification
	MissL2Timeout                 // an outer tier did not answer in time
	MissLayout                    // resident or stored with another layout
	MissAdapterOpen               // the tier's breaker is open
	MissL1OOM                     // no memory to load it into
	MissAfterGap                  // present, but behind a miss
	MissDeadline                  // the request's deadline passed first
	MissClosed                    // the manager closed
	MissUnderChunkSize            // the prompt has no full chunk
	MissNoLayout                  // no worker registered for the model
	missReasons
)

var missNames = [missReasons]string{
	"", "absent", "evicted", "staged", "l2_miss", "l2_io_error", "l2_corrupt", "l2_timeout",
	"layout_mismatch", "adapter_open", "l1_oom", "after_gap", "deadline", "closed",
	"under_chunk_size", "no_layout",
}

// String is the reason's name in metrics, logs and JSON.
func (r MissReason) String() string {
	if r < missReasons {
		return missNames[r]
	}
	return "unknown"
}

// MissCounts counts misses by reason. The zero value is empty; it is a plain value.
type MissCounts [missReasons]int32

// Add counts n misses for r.
func (c *MissCounts) Add(r MissReason, n int) {
	if r > MissNone && r < missReasons {
		c[r] += int32(n)
	}
}

// Map returns the non-zero counts by name.
func (c MissCounts) Map() map[string]int {
	m := make(map[string]int)
	for r, n := range c {
		if n != 0 {
			m[missNames[r]] = int(n)
		}
	}
	return m
}
