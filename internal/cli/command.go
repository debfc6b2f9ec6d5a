package cli

import "context"

// Command is implemented by the struct of every command that can run.
type Command interface {
	// Run does the command's work and returns when it is done or ctx is. The
	// caller prints the error and turns it into an exit code: that of an
	// ExitError or of Problems, else ExitFailed.
	Run(ctx context.Context, io *IO) error
}

// Checker is implemented by a command whose values depend on each other or on
// the machine. Check runs after all values have been decoded, also if some of
// them were bad, and opens nothing.
type Checker interface {
	Check(p *Problems)
}

// Helper is implemented by a command that has examples for its help: at least
// two command lines that work when pasted, each without a prompt.
type Helper interface {
	Examples() []string
}

// CommandNotes maps commands that are recognised but not there ("bench engine")
// to the rest of the sentence that begins with their name.
type CommandNotes map[string]string

// ExitError ends a run with an exit code of its own.
type ExitError struct {
	Code int
	Err  error // printed; nil prints nothing
}

// Error is the text of Err.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return "no error"
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }
