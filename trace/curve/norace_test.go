//go:build !race

package curve_test

// raceEnabled says that the race detector runs: what takes long is left out.
const raceEnabled = false
