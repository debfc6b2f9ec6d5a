package l2

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
