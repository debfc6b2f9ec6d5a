package cli

import (
	"os"
	"syscall"
)

// Interrupted is the cause that a signal cancels a run's context with.
type Interrupted struct{ Signal os.Signal }

// Error names the signal.
func (i *Interrupted) Error() string { return "interrupted by signal " + i.Signal.String() }

// ExitCode is the exit code of a run that the signal ended before it was done.
func (i *Interrupted) ExitCode() int {
	if i.Signal == syscall.SIGTERM {
		return ExitTerminate
	}
	return ExitInterrupt
}
