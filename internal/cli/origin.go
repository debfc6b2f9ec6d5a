package cli

import "fmt"

// source is the kind of place that a value came from.
type source uint8

const (
	fromDefault source = iota
	fromFile
	fromEnv
	fromArgs
)

// origin is where the value of a flag came from.
type origin struct {
	source source
	where  string // name of the variable, or file:line
	text   string // the value as it was written
}

// suffix names the place for the end of a sentence; empty for the command line.
func (o origin) suffix() string {
	switch o.source {
	case fromEnv:
		return fmt.Sprintf(" (from environment %s)", o.where)
	case fromFile:
		return fmt.Sprintf(" (from %s)", o.where)
	case fromArgs, fromDefault:
	}
	return ""
}
