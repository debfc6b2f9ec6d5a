package storage

import (
	"fmt"
	"time"
)

func errPolicy(p Policy) error {
	return fmt.Errorf("storage: SubmitPrefetch: Policy: must be %v or %v, got %v", Prefix, Sparse, p)
}

// StartError says that a tier does not work as it is configured, so that a manager has
// not started.
type StartError struct {
	Tier int // index among the tiers
	Name string
	Err  error
}

// Error implements error.
func (e *StartError) Error() string {
	return fmt.Sprintf("storage: tier %d (%s): %v", e.Tier, e.Name, e.Err)
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// prefetchMessage is the log line of a prefetch that found something.
func prefetchMessage(hits, outer, total int, took time.Duration, external string, id int64) string {
	return fmt.Sprintf("Prefetch request completed (L1+L2): %d/%d prefix hits (%d L1, %d L2) in %.1f ms (external_request_id=%s, prefetch_request_id=%d)",
		hits+outer, total, hits, outer, float64(took.Microseconds())/1000, external, id)
}
