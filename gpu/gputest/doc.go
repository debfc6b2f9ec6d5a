// Package gputest holds the contract that every gpu.Backend passes: Run takes a
// Harness that opens one and looks into its memory, and goes through every
// Layout: each format, without gaps, with gaps and in another order. It also
// has the reference for the byte order of an object, element by element, with
// formulas of its own.
package gputest
