// Package invariants says whether checks that cost time are compiled in: with
// the build tag "invariants" they are, without it the compiler removes every
// branch on Enabled.
package invariants
