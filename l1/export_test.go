package l1

import (
	"io/fs"

	"github.com/lmcache-go/lmcache/l1/internal/pool"
)

// Step is an operation of the system that Faulty can make fail.
type Step = pool.Step

// The steps.
const (
	StepCreate   = pool.StepCreate
	StepReserve  = pool.StepReserve
	StepCommit   = pool.StepCommit
	StepPopulate = pool.StepPopulate
)

// Faulty is o with pieces of a size and with f asked before each step.
func Faulty(o Options, piece int64, f func(Step) error) Options {
	o.piece, o.fault = piece, f
	return o
}

// OnMachine is o with another root of /proc and /sys.
func OnMachine(o Options, root fs.FS) Options {
	o.machine = root
	return o
}
