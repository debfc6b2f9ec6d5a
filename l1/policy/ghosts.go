package policy

import "github.com/lmcache-go/lmcache/l1/internal/slab"

// ghosts remembers uses of entries that have left, for as long as the entry was last
// used within the last ghostSpan uses per entry that there is room for. It is a table
// of sets; the oldest of a set makes room, be it the new one. So it is the same in whatever
// order entries leave at one time, which no recording tells. An entry is told from another by 24 bits
// beside its set: a mistake changes an order of eviction, nothing else.
type ghosts struct {
	sets  slab.Table[ghostSet]
	n     uint32 // how many sets there may be
	reach uint64 // uses ago that still count
}

const (
	ghostSpan = 16
	ghostWays = 8
	maxGhosts = 1 << 23 // 64 MiB
)

// ghostSet is one set. A ghost is the number of the last use in units of ghostUnit
// (34 bits), the number of uses (6 bits, as uses-1) and 24 bits of the fingerprint; 0: none.
type ghostSet [ghostWays]uint64

const (
	ghostUnit = 64
	tagBits   = 24
	useBits   = 6
	tagMask   = 1<<tagBits - 1
)

// size makes room for what remembering entries takes, and forgets all of it when
// there are more than twice as many as before.
func (g *ghosts) size(entries uint32) {
	g.reach = uint64(entries) * ghostSpan
	want := uint32(min(g.reach, maxGhosts) / ghostWays)
	if g.n == 0 || want >= 2*g.n {
		*g = ghosts{n: want, reach: g.reach}
	}
}

// set is the number of the set of a fingerprint; the tag is in other bits of it.
func (g *ghosts) set(fp uint64) uint32 { return uint32((fp >> 32) * uint64(g.n) >> 32) }

// put remembers an entry.
func (g *ghosts) put(fp, seq uint64, uses uint32) {
	if g.n == 0 {
		return
	}
	set, tag := g.sets.Grow(g.set(fp)), fp&tagMask
	ghost := (seq/ghostUnit+1)<<(tagBits+useBits) | uint64(uses-1)<<tagBits | tag
	oldest := 0
	for i, have := range set {
		if have&tagMask == tag && have != 0 {
			oldest = i
			break
		}
		if have < set[oldest] {
			oldest = i
		}
	}
	set[oldest] = max(set[oldest], ghost)
}

// take removes a ghost and returns the number of its last use, rounded, and the number
// of uses; 0: it is not remembered.
func (g *ghosts) take(fp, now uint64) (seq uint64, uses uint32) {
	if g.n == 0 {
		return 0, 0
	}
	set, tag := g.sets.Get(g.set(fp)), fp&tagMask
	if set == nil {
		return 0, 0
	}
	for i, have := range set {
		if have == 0 || have&tagMask != tag {
			continue
		}
		set[i] = 0
		seq = (have>>(tagBits+useBits) - 1) * ghostUnit
		if now-seq > g.reach {
			return 0, 0
		}
		return seq, uint32(have>>tagBits&(1<<useBits-1)) + 1
	}
	return 0, 0
}
