package replay

import (
	"math/bits"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// Comparison is how far outcomes are those that they are compared with.
type Comparison struct {
	Compared    int64            // values that were compared
	Diverged    int64            // of these, not equal
	Divergences map[string]int64 // the same by what it was about
	First       *Divergence      // nil: there is none
	Unmet       int64            // outcomes of calls that the other side did not make

	// Chunks that the compared lookups found from the beginning of their prompt. The objects
	// of a chunk count once, whatever the number of ranks and groups, where keys are known.
	RecordedChunks, ReplayedChunks int64
}

// outcome is what a call came to, as far as a side knows it.
type outcome struct {
	of      about  // of the second side only
	granted []byte // reserve_write: bitmap
	values  values
	evicted [2]*eviction // of a lookup: of the first key that is not in L1, and that is not anywhere
}

// about is the call that an outcome belongs to.
type about struct {
	n        int64
	recorded bool   // n is the number that was recorded
	name     string // without a prefix
	mono     float64
	keys     []kv.Key // nil: not known
}

// values of an outcome.
const (
	valGranted = iota
	valFailed
	valL1
	valHits
	valL2
	valReadable
	numValues
)

var valueNames = [numValues]string{"granted", "failed", "l1_hits", "hits", "l2_hits", "readable"}

// values are those of an outcome; -1: not known.
type values [numValues]int64

func noValues() (v values) {
	for i := range v {
		v[i] = -1
	}
	return v
}

// valuesOf are the values that an outcome of a call of this name has.
func valuesOf(name string, o *trace.Outcome) values {
	v := noValues()
	switch name {
	case storage.CallReserveWrite:
		v[valGranted] = ones(o.OK)
	case storage.CallFinishWrite, storage.CallFinishRead:
		v[valFailed] = o.Bad
	case storage.CallSubmitPrefetch:
		if o.Resolved {
			v[valHits], v[valL2] = o.Hits, o.L2
		} else {
			v[valL1] = o.L1
		}
	case storage.CallReadEnter:
		v[valReadable] = readable(o)
	}
	return v
}

func readable(o *trace.Outcome) int64 {
	if o.Entered {
		return 1
	}
	return 0
}

// eviction is when and why a key left L1.
type eviction struct {
	at    float64 // seconds of the recording
	cause string
	owner string
}

// side is one of two sequences of outcomes.
type side struct {
	name string             // in Divergence.EvictedIn
	open map[int64]*outcome // by call, until the other side has it too
	free []*outcome
	left departures
}

// A call whose outcome was lost would stay open for ever. When more than maxOpen are,
// those go that are keepOpen calls behind.
const (
	maxOpen  = 1 << 17
	keepOpen = 1 << 16
)

// comparison compares two sequences of outcomes call by call, in whatever order they
// come. Of the first one it need not know the calls.
type comparison struct {
	*Comparison
	first, second side
	diverged      func(Divergence)          // nil: they are counted alone
	compared      func(n int64, equal bool) // hears of every call that was compared; may be nil
}

func newComparison(to *Comparison) *comparison {
	return &comparison{Comparison: to, first: newSide(), second: newSide()}
}

func newSide() side {
	return side{open: make(map[int64]*outcome)}
}

// find is the open outcome of a call, a new one if there is none.
func (s *side) find(n int64) *outcome {
	o := s.open[n]
	if o == nil {
		if len(s.open) > maxOpen {
			for old := range s.open {
				if old < n-keepOpen {
					delete(s.open, old)
				}
			}
		}
		if last := len(s.free) - 1; last >= 0 {
			o, s.free = s.free[last], s.free[:last]
		} else {
			o = new(outcome)
		}
		*o = outcome{values: noValues()}
		s.open[n] = o
	}
	return o
}

// forget ends a call.
func (s *side) forget(n int64) {
	s.free = append(s.free, s.open[n])
	delete(s.open, n)
}

// took takes an outcome of a call of the first side, of which the name need not be
// known: which of its fields mean something follows from the second side's.
func (c *comparison) took(o *trace.Outcome) {
	if o.Aborted != nil {
		return // it is carried out, not compared
	}
	x := c.first.find(o.N)
	if o.Resolved {
		x.values[valHits], x.values[valL2] = o.Hits, o.L2
	} else {
		x.granted = o.OK
		x.values[valGranted] = ones(o.OK)
		x.values[valFailed] = o.Bad
		x.values[valL1] = o.L1
		x.values[valReadable] = readable(o)
	}
	c.compare(o.N)
}

// made takes an outcome of a call of the second side.
func (c *comparison) made(of about, o *trace.Outcome) {
	if o.Aborted != nil {
		return
	}
	x := c.second.find(o.N)
	x.of = of
	if of.name == storage.CallReserveWrite {
		x.granted = o.OK
	}
	for what, n := range valuesOf(of.name, o) {
		if n >= 0 {
			x.values[what] = n
		}
	}
	if of.name == storage.CallSubmitPrefetch {
		for i, n := range [2]int64{x.values[valL1], x.values[valHits]} {
			if n >= 0 && n < int64(len(of.keys)) {
				x.evicted[i] = c.second.left.of(&of.keys[n])
			}
		}
	}
	c.compare(o.N)
}

func ones(b []byte) (n int64) {
	for _, x := range b {
		n += int64(bits.OnesCount8(x))
	}
	return n
}

// compare compares a call once both sides know what it came to, and forgets it.
func (c *comparison) compare(n int64) {
	second, first := c.second.open[n], c.first.open[n]
	if first == nil || second == nil {
		return
	}
	if second.of.name == storage.CallSubmitPrefetch && (first.values[valHits] < 0 || second.values[valHits] < 0) {
		return
	}
	if second.of.name == storage.CallSubmitPrefetch {
		c.RecordedChunks += chunksOf(second.of.keys, first.values[valHits])
		c.ReplayedChunks += chunksOf(second.of.keys, second.values[valHits])
	}
	equal := true
	for what, got := range second.values {
		want := first.values[what]
		if got < 0 || want < 0 {
			continue
		}
		c.Compared++
		if got != want || what == valGranted && !equalBits(second.granted, first.granted) {
			equal = false
			c.differ(n, first, second, what)
		}
	}
	c.second.forget(n)
	c.first.forget(n)
	if c.compared != nil {
		c.compared(n, equal)
	}
}

// chunksOf is how many chunks the first so many keys of a lookup are of.
func chunksOf(keys []kv.Key, hits int64) (n int64) {
	if keys == nil {
		return hits
	}
	for i := range keys[:min(max(hits, 0), int64(len(keys)))] {
		if keys[i].Rank == keys[0].Rank && keys[i].Group == keys[0].Group {
			n++
		}
	}
	return n
}

func equalBits(a, b []byte) bool {
	for i := range max(len(a), len(b)) {
		if byteAt(a, i) != byteAt(b, i) {
			return false
		}
	}
	return true
}

// byteAt is a byte of a bitmap; what is behind its end is not set.
func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// hasBit reports whether a position of a bitmap is set.
func hasBit(b []byte, i int) bool { return byteAt(b, i/8)&(1<<(i%8)) != 0 }

// differ reports one difference.
func (c *comparison) differ(n int64, first, second *outcome, what int) {
	c.Diverged++
	if c.Divergences == nil {
		c.Divergences = make(map[string]int64)
	}
	c.Divergences[valueNames[what]]++
	d := Divergence{
		N: n, Offset: second.of.mono, Call: second.of.name, What: valueNames[what],
		Recorded: first.values[what], Replayed: second.values[what], Evicted: -1,
	}
	if at := firstDifference(first, second, what); at >= 0 && at < len(second.of.keys) {
		d.Key = second.of.keys[at].String()
		if e, in := c.eviction(at, first, second, what); e != nil {
			d.Evicted, d.EvictedCause, d.EvictedFor, d.EvictedIn = e.at, e.cause, e.owner, in
		}
	}
	if c.First == nil {
		c.First = &d
	}
	if c.diverged != nil {
		c.diverged(d)
	}
}

// eviction is why the key of the first difference is missing on one of the sides, and
// which one that is.
func (c *comparison) eviction(at int, first, second *outcome, what int) (e *eviction, in string) {
	k := &second.of.keys[at]
	decides := what
	switch {
	case what == valGranted:
		if hasBit(second.granted, at) { // it was not there
			return c.second.left.of(k), c.second.name
		}
		return c.first.left.of(k), c.first.name
	case what == valL2 && first.values[valL1] != second.values[valL1]:
		decides = valL1
	case what == valL2:
		decides = valHits
	}
	if second.values[decides] > first.values[decides] {
		return c.first.left.of(k), c.first.name
	}
	return second.evicted[decides-valL1], c.second.name
}

// firstDifference is the position of the first key that the two differ about; -1: not
// known.
func firstDifference(first, second *outcome, what int) int {
	switch what {
	case valGranted:
		for i := range second.of.keys {
			if hasBit(second.granted, i) != hasBit(first.granted, i) {
				return i
			}
		}
	case valL1, valHits:
		return int(min(first.values[what], second.values[what])) // of a prefix
	case valL2: // what is not in L1 may be there
		if a, b := first.values[valL1], second.values[valL1]; a != b {
			return int(min(a, b))
		}
		return int(min(first.values[valHits], second.values[valHits]))
	}
	return -1
}

// without is how many outcomes have no counterpart on the other side.
func (s *side) without(other *side) (n int64) {
	for call := range s.open {
		if other.open[call] == nil {
			n++
		}
	}
	return n
}
