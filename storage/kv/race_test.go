//go:build race

package kv_test

// raceEnabled: the race detector makes sync.Pool forget at random and growing a
// slice allocate twice, so that some allocations cannot be counted.
const raceEnabled = true
