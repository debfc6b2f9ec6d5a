package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// Divergence is a call whose outcome is not the recorded one. How long it took is none.
type Divergence struct {
	N        int64   `json:"n"`      // number of the call
	Offset   float64 `json:"offset"` // seconds of the recording
	Call     string  `json:"call"`
	What     string  `json:"what"` // granted, failed, l1_hits, hits, l2_hits, readable
	Recorded int64   `json:"recorded"`
	Replayed int64   `json:"replayed"`

	// Key is the first one that the two differ about, if that is known, and Evicted when
	// the replay evicted it last, in seconds of the recording: by whom, and why. Negative:
	// it did not.
	Key          string  `json:"key,omitempty"`
	Evicted      float64 `json:"evicted"`
	EvictedCause string  `json:"evicted_cause,omitempty"`
	EvictedFor   string  `json:"evicted_for,omitempty"`
}

// outcome is what a call came to, as far as both sides can know it. -1: not known.
type outcome struct {
	granted []byte // reserve_write: bitmap
	keys    []kv.Key
	name    string
	mono    float64
	values  [numValues]int64
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

func noValues() (v [numValues]int64) {
	for i := range v {
		v[i] = -1
	}
	return v
}

// eviction is when and why a key left L1 in the replay.
type eviction struct {
	at    time.Duration
	cause l1.RemoveCause
	owner string
}

// verdict is the digest of what a replay decides, and its comparison with what was
// recorded. It is a subscriber: victims come as events, between the calls.
type verdict struct {
	r     *Result
	tell  func(Divergence)
	h     hash.Hash
	buf   []byte
	start time.Time

	compares bool               // there are recorded outcomes
	ours     map[int64]*outcome // by call, until the recorded one is there too
	theirs   map[int64]*outcome
	evicted  map[kv.Key]eviction
	call     *trace.Call // that is being made
	mono     float64     // when it was recorded
}

func newVerdict(r *Result, tell func(Divergence), compares bool) *verdict {
	return &verdict{
		r: r, tell: tell, compares: compares, h: sha256.New(), ours: make(map[int64]*outcome), theirs: make(map[int64]*outcome),
		evicted: make(map[kv.Key]eviction),
	}
}

// Name implements eventbus.Subscriber.
func (*verdict) Name() string { return "replay" }

// Subscribe implements eventbus.Subscriber.
func (v *verdict) Subscribe(s *eventbus.Subscription) { eventbus.On(s, v.left) }

// left takes victims, in the order in which they were chosen.
func (v *verdict) left(e l1.KeysEvicted, at time.Time) {
	if e.Cause == l1.CauseEvict {
		v.r.Evicted += int64(len(e.Keys))
	}
	v.text(string(e.Cause))
	for i := range e.Keys {
		k := &e.Keys[i]
		v.buf = k.Hash.Append(v.buf)
		v.buf = binary.LittleEndian.AppendUint32(v.buf, k.Rank)
		v.buf = binary.LittleEndian.AppendUint16(v.buf, k.Group)
		v.text(k.Model)
		v.text(k.Salt)
		if v.compares {
			v.evicted[*k] = eviction{at.Sub(v.start), e.Cause, e.Owner}
		}
	}
	v.flush()
}

func (v *verdict) text(s string) {
	v.buf = binary.LittleEndian.AppendUint32(v.buf, uint32(len(s)))
	v.buf = append(v.buf, s...)
}

func (v *verdict) flush() {
	if len(v.buf) > 1<<14 {
		v.h.Write(v.buf)
		v.buf = v.buf[:0]
	}
}

func (v *verdict) sum() []byte {
	v.h.Write(v.buf)
	v.buf = v.buf[:0]
	return v.h.Sum(nil)
}

// calling says which call the next outcome belongs to.
func (v *verdict) calling(c *trace.Call, mono float64) {
	if v != nil {
		v.call, v.mono = c, mono
	}
}

// value is one number of an outcome.
type value struct {
	what int
	n    int64
}

// decided takes the outcome of the current call into the digest and the comparison.
// granted is the bitmap of a reservation.
func (v *verdict) decided(granted []byte, values ...value) {
	if v == nil {
		return
	}
	for _, x := range values {
		v.buf = append(v.buf, byte(x.what))
		v.buf = binary.LittleEndian.AppendUint64(v.buf, uint64(x.n))
	}
	v.buf = append(v.buf, granted...)
	v.flush()
	c := v.call
	if !v.compares || c.N == storage.NoCall {
		return
	}
	o := &outcome{name: c.Name, mono: v.mono, keys: c.Keys, granted: granted, values: noValues()}
	for _, x := range values {
		o.values[x.what] = x.n
	}
	v.ours[c.N] = o
	v.compare(c.N)
}

// recorded takes the recorded outcomes that arrive with a record.
func (v *verdict) recorded(list []trace.Outcome) {
	if !v.compares {
		return
	}
	for i := range list {
		o := &list[i]
		if o.Aborted != nil {
			continue // carried out, not compared
		}
		t := v.theirs[o.N]
		if t == nil {
			t = &outcome{values: noValues()}
			v.theirs[o.N] = t
		}
		t.take(o)
		v.compare(o.N)
	}
}

// take reads a recorded outcome. Which of its fields mean something follows from the
// call, which is known to the other side.
func (t *outcome) take(o *trace.Outcome) {
	if o.Resolved {
		t.values[valHits], t.values[valL2] = o.Hits, o.L2
		return
	}
	t.granted = o.OK
	t.values[valGranted] = ones(o.OK)
	t.values[valFailed] = o.Bad
	t.values[valL1] = o.L1
	t.values[valReadable] = 0
	if o.Entered {
		t.values[valReadable] = 1
	}
}

func ones(b []byte) (n int64) {
	for _, x := range b {
		n += int64(bits.OnesCount8(x))
	}
	return n
}

// compare compares a call once both sides know what it came to, and forgets it.
func (v *verdict) compare(n int64) {
	ours, theirs := v.ours[n], v.theirs[n]
	if ours == nil || theirs == nil || ours.name == storage.CallSubmitPrefetch && theirs.values[valHits] < 0 {
		return
	}
	for what, got := range ours.values {
		want := theirs.values[what]
		if got < 0 || want < 0 {
			continue
		}
		v.r.Compared++
		if got != want || what == valGranted && !equalBits(ours.granted, theirs.granted) {
			v.diverged(n, ours, theirs, what, want, got)
		}
	}
	delete(v.ours, n)
	delete(v.theirs, n)
}

func equalBits(a, b []byte) bool {
	for i := range max(len(a), len(b)) {
		var x, y byte
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return false
		}
	}
	return true
}

// diverged reports one difference.
func (v *verdict) diverged(n int64, ours, theirs *outcome, what int, want, got int64) {
	v.r.Diverged++
	if v.r.Divergences == nil {
		v.r.Divergences = make(map[string]int64)
	}
	v.r.Divergences[valueNames[what]]++
	d := Divergence{N: n, Offset: ours.mono, Call: ours.name, What: valueNames[what], Recorded: want, Replayed: got, Evicted: -1}
	if at := firstDifference(ours, theirs, what, want, got); at >= 0 && at < len(ours.keys) {
		k := ours.keys[at]
		d.Key = k.String()
		if e, ok := v.evicted[k]; ok {
			d.Evicted, d.EvictedCause, d.EvictedFor = e.at.Seconds(), string(e.cause), e.owner
		}
	}
	if v.r.First == nil {
		v.r.First = &d
	}
	if v.tell != nil {
		v.tell(d)
	}
}

// firstDifference is the position of the first key that the two differ about; -1: not
// known.
func firstDifference(ours, theirs *outcome, what int, want, got int64) int {
	switch what {
	case valGranted:
		for i := range ours.keys {
			bit := func(b []byte) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }
			if bit(ours.granted) != bit(theirs.granted) {
				return i
			}
		}
	case valL1, valHits, valL2:
		return int(min(want, got)) // of a prefix
	}
	return -1
}

// unmet is how many outcomes have no counterpart.
func (v *verdict) unmet() int64 {
	if !v.compares {
		return 0
	}
	n := int64(0)
	for c := range v.theirs {
		if v.ours[c] == nil {
			n++
		}
	}
	return n
}

// String says what a divergence is, in one line.
func (d Divergence) String() string {
	s := fmt.Sprintf("call %d at %.3f s, %s: %s recorded %d, replayed %d", d.N, d.Offset, d.Call, d.What, d.Recorded, d.Replayed)
	if d.Key == "" {
		return s
	}
	s += "; first at " + d.Key
	if d.Evicted < 0 {
		return s + ", which the replay did not evict"
	}
	s += fmt.Sprintf(", which left L1 at %.3f s (%s", d.Evicted, d.EvictedCause)
	if d.EvictedFor != "" {
		s += " for " + d.EvictedFor
	}
	return s + ")"
}
