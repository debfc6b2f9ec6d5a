package curve

import (
	"errors"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// LoadOptions configures Load. The zero value takes all of a recording.
type LoadOptions struct {
	Sample float64                  // part of the keys that counts, above 0 and up to 1; 0: all
	Align  int                      // what sizes of objects are rounded up to; 0: as recorded, else l1.DefaultAlign
	Warn   func(*trace.DamageError) // hears what is wrong with the recording; nil: nobody does
}

// Workload is the requests of a recording. It is read-only once loaded.
type Workload struct {
	Config   Config // as recorded
	Requests int64  // lookups with at least one key that counts
	Keys     int64  // of the lookups
	Stored   int64  // keys that were stored before any lookup named them
	Bytes    int64  // of the objects of Keys
	Unique   int64  // keys
	Size     int64  // of their objects, in bytes
	OneSize  bool   // all objects have the same size
	LeftOut  int64  // calls that empty the cache or change quotas
	Lost     int64  // calls that the recording lost
	Seconds  float64

	// MeasuredKeys and MeasuredHits are the keys of lookups whose outcome is in the
	// recording, and those that were found.
	MeasuredKeys, MeasuredHits int64

	align             int
	scale             float64 // part of the keys that counts
	allKeys, allBytes int64   // of lookups, whether they count or not
	events            []event
	path              []int32  // the nodes of all events, one after the other
	keys              []kv.Key // by node
	sizes             []int64  // by node, rounded up
	smallest, largest int64    // of sizes
	trace             belady.Trace
}

// event is one lookup or insertion.
type event struct {
	kind   belady.Kind
	lo, hi int   // in path
	after  int32 // node before the first one of an insertion; -1: unknown
	mono   time.Duration
	layout kv.Layout
}

// loader is a Workload while it is made.
type loader struct {
	*Workload
	sample  kv.Sampler
	numbers map[kv.Key]int32
	asked   map[int64]int64 // keys of lookups whose outcome has not come, by number of the call
	mono    float64
}

// Load reads a recording with header h. An error is one of reading.
func Load(h *trace.Header, records iter.Seq2[trace.Record, error], o LoadOptions) (*Workload, error) {
	w := &Workload{Config: ParseConfig(h.Config), align: o.Align, scale: o.Sample, OneSize: true}
	if w.scale == 0 {
		w.scale = 1
	}
	if err := CheckSample(w.scale); err != nil {
		return nil, errors.Join(errors.New("curve: Sample"), err)
	}
	if w.align == 0 {
		w.align = w.Config.Align
	}
	if w.align <= 0 || w.align > 1<<30 {
		w.align = l1.DefaultAlign
	}
	l := &loader{Workload: w, sample: kv.NewSampler(w.scale), numbers: make(map[kv.Key]int32), asked: make(map[int64]int64)}
	for rec, err := range records {
		var damage *trace.DamageError
		if err == nil {
			err = l.record(&rec)
		}
		switch {
		case errors.As(err, &damage):
			if o.Warn != nil {
				o.Warn(damage)
			}
		case err != nil:
			return nil, err
		}
	}
	w.finish()
	return w, nil
}

// finish computes what follows from the events.
func (w *Workload) finish() {
	w.Unique = int64(len(w.keys))
	if len(w.sizes) > 0 {
		w.smallest, w.largest = slices.Min(w.sizes), slices.Max(w.sizes)
	}
	for n, size := range w.sizes {
		w.Size += size
		w.OneSize = w.OneSize && size == w.sizes[0]
		w.trace.SetSize(int32(n), size)
	}
	for i := range w.events {
		e := &w.events[i]
		nodes := w.path[e.lo:e.hi]
		w.trace.AddNumbered(e.kind, nodes)
		if e.kind == belady.Insert {
			w.Stored += int64(len(nodes))
			continue
		}
		w.Requests++
		w.Keys += int64(len(nodes))
		for _, n := range nodes {
			w.Bytes += w.sizes[n]
		}
	}
}

// record takes one record. What does not decode is damage to go on behind.
func (l *loader) record(rec *trace.Record) error {
	l.mono = max(l.mono, rec.Mono)
	l.Seconds = l.mono
	l.outcomes(rec)
	if g, ok, err := rec.Gap(); ok {
		l.Lost += g.Count
		return damaged(rec, err)
	}
	switch name := rec.Name; name {
	case trace.Qualname(storage.CallSubmitPrefetch), trace.Qualname(storage.CallReserveWrite):
	case storage.CallClear, storage.CallDelete, storage.CallQuota:
		l.LeftOut++
		return nil
	default:
		return nil
	}
	c, err := rec.Call()
	if err != nil {
		return damaged(rec, err)
	}
	if c.Name == storage.CallReserveWrite {
		l.insert(c.Keys, c.Layout)
		return nil
	}
	if c.N != storage.NoCall {
		l.asked[c.N] = int64(len(c.Keys))
	}
	kind := belady.Prefix
	if c.Policy == storage.Sparse {
		kind = belady.Sparse
	}
	if c.Rows == nil {
		l.lookup(kind, c.Keys, c.Layout)
	}
	for i := range c.Rows {
		l.lookup(kind, c.Rows[i].Keys, c.Rows[i].Layout)
	}
	return nil
}

// damaged is an error of decoding as one that reading goes on behind.
func damaged(rec *trace.Record, err error) error {
	if err == nil {
		return nil
	}
	return &trace.DamageError{Text: "skipping " + rec.Name + ": " + err.Error()}
}

// outcomes counts what the recording says of its lookups.
func (l *loader) outcomes(rec *trace.Record) {
	list, err := rec.Outcomes()
	if err != nil {
		return // the curve does without them
	}
	for i := range list {
		if keys, ok := l.asked[list[i].N]; ok && list[i].Resolved {
			delete(l.asked, list[i].N)
			l.MeasuredKeys += keys
			l.MeasuredHits += list[i].Hits
		}
	}
}

// lookup adds a request for keys.
func (l *loader) lookup(kind belady.Kind, keys []kv.Key, layout kv.Layout) {
	lo := len(l.path)
	l.allKeys += int64(len(keys))
	l.allBytes += int64(len(keys)) * l.size(layout)
	for i := range keys {
		if n := l.node(&keys[i], layout); n >= 0 {
			l.path = append(l.path, n)
		}
	}
	l.add(event{kind: kind, lo: lo, after: -1, layout: layout})
}

// insert adds the keys of a write that nothing has named before.
func (l *loader) insert(keys []kv.Key, layout kv.Layout) {
	lo, after := len(l.path), int32(-1)
	for i := range keys {
		if n, known := l.numbers[keys[i]]; known {
			if len(l.path) == lo {
				after = n
			}
			continue
		}
		if n := l.node(&keys[i], layout); n >= 0 {
			l.path = append(l.path, n)
		}
	}
	l.add(event{kind: belady.Insert, lo: lo, after: after, layout: layout})
}

// node is the number of a key; -1 if it does not count.
func (l *loader) node(k *kv.Key, layout kv.Layout) int32 {
	if !l.sample.Takes(kv.SampleHash(k.Hash.Lead(), l.sample.Names(k), k.Rank, k.Group)) {
		return -1
	}
	n, known := l.numbers[*k]
	if !known {
		n = int32(len(l.keys))
		l.numbers[*k] = n
		l.keys = append(l.keys, *k)
		l.sizes = append(l.sizes, l.size(layout))
	}
	return n
}

func (l *loader) add(e event) {
	if e.hi = len(l.path); e.hi == e.lo {
		return
	}
	e.mono = time.Duration(min(l.mono, maxSeconds) * float64(time.Second))
	l.events = append(l.events, e)
}

// maxSeconds is what a time.Duration holds, with room to spare.
const maxSeconds = math.MaxInt64 / 4 / 1e9

// size is the bytes that an object takes.
func (w *Workload) size(layout kv.Layout) int64 {
	step := int64(w.align)
	return (layout.Size() + step - 1) / step * step
}
