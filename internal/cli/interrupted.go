package cli

import (
	"os"
	"syscall"
)

// InterruptedError is the cause that a signal cancels a run's context with.
type InterruptedError struct{ Signal os.Signal }

// Error names the signal.
func (i *InterruptedError) Error() string { return "interrupted by signal " + i.Signal.String() }

// ExitCode is the exit code of a run that the signal ended before it was done.
func (i *InterruptedError) ExitCode() int {
	if i.Signal == syscall.SIGTERM {
		return ExitTerminate
	}
	return ExitInterrupt
}
