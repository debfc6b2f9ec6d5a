package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// IO is where a run reads and writes. The program uses SystemIO, tests their own.
type IO struct {
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	LookupEnv func(name string) (value string, ok bool)
}

// SystemIO is the process's own standard files and environment.
func SystemIO() *IO {
	return &IO{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv}
}

// IsTerminal tells whether w is a file that is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colors tells whether w may get colours: it is a terminal and NO_COLOR is not set.
func (o *IO) Colors(w io.Writer) bool {
	if v, ok := o.LookupEnv("NO_COLOR"); ok && v != "" {
		return false
	}
	return IsTerminal(w)
}
