package l2

import "context"

// Wrapper is an adapter around another one. It changes what it wants to change and
// leaves the rest, abilities included, to the inner one: see [AbilityOf].
type Wrapper interface{ Unwrap() Adapter }

// AbilityOf finds an optional interface, such as [Lister], of an adapter or, if it is
// a [Wrapper] without that ability, of what it wraps.
func AbilityOf[T any](a Adapter) (T, bool) {
	for {
		if t, ok := a.(T); ok {
			return t, true
		}
		w, ok := a.(Wrapper)
		if !ok {
			var none T
			return none, false
		}
		a = w.Unwrap()
	}
}

// FormatOf is the format of an adapter, the zero [Format] if it does not say.
func FormatOf(a Adapter) Format {
	if f, ok := AbilityOf[Formatter](a); ok {
		return f.Format()
	}
	return Format{}
}

// Plain is the ability of an adapter to lend what a benchmark compares it with: a plain
// client of the same store.
type Plain interface{ Plain() PlainClient }

// PlainClient moves values without the care of an adapter: no header, no checksum, no
// question whether something is there. Values have numbers; a call has those from first
// on, in one pipeline if the store has such a thing. It may be used by several goroutines,
// while its adapter is open.
type PlainClient interface {
	Write(ctx context.Context, first int, values [][]byte) error
	Read(ctx context.Context, first int, values [][]byte) error // each has the length of what was written
	Remove(ctx context.Context, values int) error               // the first ones
}
