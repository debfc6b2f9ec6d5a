package fake

import "strconv"

// Kind is a kind of work, or of another service of the device that can fail.
type Kind uint8

// The kinds. Copy stands for either kind of copy in a Fault.
const (
	Copy Kind = iota
	Gather
	Scatter
	Wait
	Record
	Kernel
	Pin
	Alloc
	Open // of a stream

	finish // the end of a stream: an event that nobody is given
)

var kindNames = [...]string{"copy", "gather", "scatter", "wait", "record", "kernel", "pin", "alloc", "open", "finish"}

// String is the name of the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return strconv.Itoa(int(k))
}

// covers reports whether a fault of kind k strikes an operation of kind op.
func (k Kind) covers(op Kind) bool {
	return k == op || k == Copy && (op == Gather || op == Scatter)
}
