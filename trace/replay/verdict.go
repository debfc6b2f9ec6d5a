package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// verdict is the digest of what a replay decides, and its comparison with what was
// recorded. It is a subscriber: victims come as events, between the calls. Its methods
// may be called by several goroutines.
type verdict struct {
	mu      sync.Mutex
	r       *Result
	h       hash.Hash
	buf     []byte
	against *comparison                // nil: nothing is compared
	when    func(at time.Time) float64 // seconds of the recording; nil: those of the current call
	now     float64
	keep    bool       // collect victims
	victims []Eviction // since they were taken last
	later   []byte     // of the digest: victims of a live bus, which come when they like
	live    bool
}

// Eviction is an object that left L1 in a replay.
type Eviction struct {
	Key   kv.Key
	At    float64 // seconds of the recording
	Cause string
	Owner string // request for which it had to go; may be empty
}

// calling says when the call was recorded that is made next.
func (v *verdict) calling(mono float64) {
	v.mu.Lock()
	v.now = mono
	v.mu.Unlock()
}

func newVerdict(r *Result, against *comparison, when func(time.Time) float64) *verdict {
	return &verdict{r: r, against: against, when: when, h: sha256.New()}
}

// Name implements eventbus.Subscriber.
func (*verdict) Name() string { return "replay" }

// Subscribe implements eventbus.Subscriber.
func (v *verdict) Subscribe(s *eventbus.Subscription) { eventbus.On(s, v.left) }

// left takes victims, in the order in which they were chosen.
func (v *verdict) left(e l1.KeysEvicted, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Cause == l1.CauseEvict {
		v.r.Evicted += int64(len(e.Keys))
	}
	seconds := v.now
	if v.when != nil {
		seconds = v.when(at)
	}
	if v.live {
		v.buf, v.later = v.later, v.buf
		defer func() { v.buf, v.later = v.later, v.buf }()
	}
	if v.against != nil {
		v.against.second.left.add(e.Keys, eviction{seconds, string(e.Cause), e.Owner})
	}
	v.text(string(e.Cause))
	for i := range e.Keys {
		k := &e.Keys[i]
		v.buf = k.Hash.Append(v.buf)
		v.buf = binary.LittleEndian.AppendUint32(v.buf, k.Rank)
		v.buf = binary.LittleEndian.AppendUint16(v.buf, k.Group)
		v.text(k.Model)
		v.text(k.Salt)
		if v.keep {
			v.victims = append(v.victims, Eviction{Key: *k, At: seconds, Cause: string(e.Cause), Owner: e.Owner})
		}
	}
	if !v.live {
		v.flush()
	}
}

// settle takes the victims of a live bus into the digest, behind the outcome of the call
// that they left for.
func (v *verdict) settle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.buf = append(v.buf, v.later...)
	v.later = v.later[:0]
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

// digest is that of everything that was decided so far.
func (v *verdict) digest() string {
	v.h.Write(v.buf)
	v.buf = v.buf[:0]
	return hex.EncodeToString(v.h.Sum(nil))
}

// made takes an outcome of a call into the digest and the comparison. A recorded call
// without a number cannot be compared.
func (v *verdict) made(of about, o *trace.Outcome) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if o.Aborted == nil { // what is given up follows from the recording
		for what, n := range valuesOf(of.name, o) {
			if n >= 0 {
				v.buf = append(v.buf, byte(what))
				v.buf = binary.LittleEndian.AppendUint64(v.buf, uint64(n))
			}
		}
		if of.name == storage.CallReserveWrite {
			v.buf = append(v.buf, o.OK...)
		}
	}
	v.flush()
	if v.against != nil && of.recorded {
		v.against.made(of, o)
	}
}

// recorded takes the recorded outcomes that arrive with a record.
func (v *verdict) recorded(list []trace.Outcome) {
	if v.against == nil || len(list) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range list {
		v.against.took(&list[i])
	}
}

// takeVictims are those that were not taken yet; a nil verdict has none.
func (v *verdict) takeVictims() []Eviction {
	if v == nil || !v.keep {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	list := v.victims
	v.victims = nil
	return list
}
