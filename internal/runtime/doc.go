// Package runtime is the seam between code that decides and the world: time,
// timers, slow calls and randomness. Deciding code takes a Runtime and reads
// nothing else, so the same code runs live (Live: goroutines and the monotonic
// clock) and virtually (Virtual: one goroutine and a queue ordered by virtual
// time), where it gives bit-identical results on every run and machine.
//
// Lock order: functions handed to At and Start are called with no lock of this
// package held; they take their own.
package runtime
