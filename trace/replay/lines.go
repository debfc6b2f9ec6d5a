package replay

import (
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// Line is what became of one record.
type Line struct {
	Index   int64 // from 1, of the records that are replayed
	Name    string
	Latency time.Duration
	Failed  bool
	Skipped bool // there is no handler, or the arguments do not decode
	Mono    float64
	N       int64 // number of the recorded call; of a plain recording its position, from 0

	// What follows is there for Options.Complete only.
	Keys     []kv.Key
	Outcomes []CallOutcome // that became known since the line before
	Evicted  []Eviction    // the same, of what left L1; nil without a bus
	Compared bool          // the recorded outcome is known
	Diverged bool          // it is not this one

	ChunkTokens int64 // of the first line of a file: tokens of a chunk of the recording; 0: not known
}

// CallOutcome is an outcome of a call of a replay.
type CallOutcome struct {
	Name string // of the call
	trace.Outcome
}

// maxHeld is how many lines wait for the recorded outcome of the first of them, which may
// be lost.
const maxHeld = 1 << 16

// lines holds lines back until their calls are made and compared, and tells them in the
// order of the recording. A nil lines does nothing. It may be used by several goroutines.
type lines struct {
	mu       sync.Mutex
	tell     func(Line)
	compares bool
	held     []*heldLine // in order
	byCall   map[int64]*heldLine
}

type heldLine struct {
	Line
	made, waits bool // waits for the recorded outcome
}

func newLines(tell func(Line), compares bool) *lines {
	if tell == nil {
		return nil
	}
	return &lines{tell: tell, compares: compares, byCall: make(map[int64]*heldLine)}
}

// begin adds the line of a record, before its call is made.
func (l *lines) begin(index int64, e *entry) *heldLine {
	h := &heldLine{Line: Line{Index: index, Name: e.name, Mono: e.mono, N: e.number}}
	if e.call == nil {
		h.Failed, h.Skipped = true, true
	} else {
		h.Keys = e.call.Keys
	}
	if l == nil {
		return h
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, h)
	if l.compares && e.call != nil && e.call.N != storage.NoCall {
		h.waits = true
		l.byCall[e.number] = h
	}
	return h
}

// end says that a line's call has been made.
func (l *lines) end(h *heldLine, outcomes []CallOutcome, evicted []Eviction) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h.made = true
	h.Outcomes, h.Evicted = outcomes, evicted
	l.tellReady(1)
}

// compared says that the outcome of a call was compared with the recorded one.
func (l *lines) compared(n int64, equal bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.byCall[n]
	if h == nil {
		return
	}
	delete(l.byCall, n)
	h.waits, h.Compared, h.Diverged = false, true, !equal
}

// tellReady tells lines that are complete, but for so many at the end: the last one
// takes what comes behind it.
func (l *lines) tellReady(keep int) {
	for len(l.held) > keep {
		h := l.held[0]
		if !h.made || h.waits && len(l.held) <= maxHeld {
			return
		}
		l.pop()
	}
}

func (l *lines) pop() {
	h := l.held[0]
	l.held[0] = nil
	l.held = l.held[1:]
	if h.waits {
		delete(l.byCall, h.N)
	}
	l.tell(h.Line)
}

// close tells what is left. The outcomes and victims became known after the last line.
func (l *lines) close(outcomes []CallOutcome, evicted []Eviction) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = slices.DeleteFunc(l.held, func(h *heldLine) bool { return !h.made }) // of calls that an interrupted run left out
	if n := len(l.held); n > 0 {
		last := l.held[n-1]
		last.Outcomes = append(last.Outcomes, outcomes...)
		last.Evicted = append(last.Evicted, evicted...)
	}
	for len(l.held) > 0 {
		l.pop()
	}
}
