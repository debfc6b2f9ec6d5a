package l1bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Result is one figure and its baseline, both of the same unit. For GB/s more is
// better, for times less.
type Result struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"` // GB/s, or the median of a call or event
	Unit     string  `json:"unit"`
	Baseline float64 `json:"baseline"`
	Ratio    float64 `json:"ratio"` // value ÷ baseline
	P99      float64 `json:"p99"`   // of a call, in microseconds

	Max    float64 `json:"-"` // of a call, in microseconds
	Calls  int     `json:"-"`
	Allocs float64 `json:"-"` // per call
}

// slice is one turn of a part or its baseline.
const slice = 20 * time.Millisecond

// Run measures the parts of the mix one after the other. If ctx ends it returns
// what it has, and the context's error.
func Run(ctx context.Context, o Options) ([]Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var out []Result
	for i, p := range o.parts() {
		r, err := measure(ctx, &o, p, time.Duration(i)*o.Duration)
		out = append(out, r...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// measure runs one part, its baseline, and the part with events if they are asked
// for, in turns.
func measure(ctx context.Context, o *Options, p part, done time.Duration) (_ []Result, err error) {
	quiet, err := newWorld(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, quiet.close()) }()
	ours, plain := quiet.ops(p.ours), quiet.ops(p.plain)
	sides := [][]op{plain, ours}
	if o.Events != nil {
		bus, closeBus, err := o.Events()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, closeBus()) }()
		loud, err := newWorld(ctx, o, bus)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, loud.close()) }()
		sides = append(sides, loud.ops(p.ours))
	}
	for _, ops := range sides { // the first turn warms up
		if err := new(sample).turns(ctx, ops, slice); err != nil {
			return nil, err
		}
	}
	got := make([]sample, len(sides))
	for begin := time.Now(); time.Since(begin) < o.Duration && ctx.Err() == nil; {
		for i, ops := range sides {
			if err := got[i].turns(ctx, ops, slice); err != nil {
				return nil, err
			}
		}
		if o.Progress != nil {
			o.Progress(done + min(time.Since(begin), o.Duration))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	allocs, err := allocations(ours[0])
	if err != nil {
		return nil, err
	}
	out := []Result{result(p.name, p.unit, &got[1], &got[0])}
	out[0].Allocs = allocs
	if len(got) > 2 {
		out = append(out, result(p.name+"_events", p.unit, &got[2], &got[1]))
	}
	return out, nil
}

func result(name, unit string, s, base *sample) Result {
	r := Result{
		Name: name, Unit: unit, Value: s.value(unit), Baseline: base.value(unit),
		P99: microseconds(s.rank(99)), Max: microseconds(s.rank(100)), Calls: len(s.took),
	}
	if r.Baseline > 0 {
		r.Ratio = r.Value / r.Baseline
	}
	return r
}

// newWorld opens a manager, fills it, and makes what the baselines need.
func newWorld(ctx context.Context, o *Options, bus *eventbus.Bus) (*world, error) {
	layout, err := kv.RawLayout(o.ObjectBytes)
	if err != nil {
		return nil, fmt.Errorf("l1bench: %w", err)
	}
	w := &world{o: o, ctx: ctx, bus: bus, layout: layout, queue: &plainQueue{items: make([]plainRecord, 0, 10000)}}
	if bus == nil { // publishing needs somebody to listen
		w.own = eventbus.New(eventbus.Options{})
		w.bus = w.own
		if _, err := w.own.Subscribe(listener{}); err != nil {
			return nil, err
		}
	}
	lo := o.L1
	lo.Bus = bus
	if w.m, err = storage.Open(ctx, storage.Options{L1: lo, Bus: bus}); err != nil {
		return nil, errors.Join(err, w.own.Close(ctx))
	}
	if err := w.fill(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// listener is the least that can listen.
type listener struct{}

func (listener) Name() string { return "l1bench" }

func (listener) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(l1.ReadReserved, time.Time) {})
}

// fill stores batches until three quarters of L1 are used, and touches all of the
// memory for plain copies.
func (w *world) fill() error {
	objects := w.o.objects()
	w.plain = newPlainMap(max(objects, w.o.Batch))
	put := store(w, 0)
	for range objects/w.o.Batch + 1 { // all of the memory has been written once
		if _, err := put(); err != nil {
			return err
		}
	}
	w.m.Clear(false)
	for n := 0; n < max(1, objects*3/4/w.o.Batch); n++ {
		keys := batch(nil, uint64(n)|1<<60, w.o.Batch)
		l, err := w.m.ReserveWrite(w.ctx, keys, w.layout, storage.New, storage.WriteOptions{})
		if err != nil {
			return err
		}
		l.Finish()
		w.stock = append(w.stock, keys)
		w.plain.replace(keys)
	}
	if w.own == nil {
		return nil // the baseline is measured once
	}
	w.mem = make([]byte, max(w.o.L1.Bytes, w.o.ObjectBytes*int64(w.o.Threads)))
	for i := 0; i < len(w.mem); i += 4096 {
		w.mem[i] = 1
	}
	return nil
}

// ops makes one op for each thread.
func (w *world) ops(f func(*world, int) op) []op {
	out := make([]op, w.o.Threads)
	for i := range out {
		out[i] = f(w, i)
	}
	return out
}

func (w *world) close() error {
	ctx := context.WithoutCancel(w.ctx)
	return errors.Join(w.m.Close(ctx), w.own.Close(ctx))
}
