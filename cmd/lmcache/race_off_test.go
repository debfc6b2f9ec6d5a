//go:build !race

package main

// underRace is true where the race detector makes everything slow.
const underRace = false
