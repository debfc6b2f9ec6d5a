// Package gputest holds the contract that every gpu.Backend passes: Run takes a
// Harness that opens one and looks into its memory. It also has the reference
// for the byte order of an object, element by element.
package gputest
