// Package l1bench measures the first tier: publishing an event, reserving and
// finishing, looking up, storing and retrieving, each beside a raw baseline that is
// measured in the same run, in turns of a few milliseconds, so that a busy machine
// disturbs both alike. It drives a storage.Manager as the engine does, from one
// goroutine per thread.
package l1bench
