package curve

import (
	"context"
	"errors"

	"github.com/lmcache-go/lmcache/internal/belady"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// stepEvents is how many requests lie between two reports of progress.
const stepEvents = 256

// simulate runs the storage manager over w in virtual time. Objects that are larger than
// its memory are left out: they are never stored, and never found.
func (w *Workload) simulate(ctx context.Context, bytes int64, p Policy, progress func(events int64)) (c belady.Count, err error) {
	m, v, err := storage.OpenVirtual(storage.Options{L1: l1.Options{
		Bytes: max(bytes, int64(w.align)), NoBytes: true, Align: w.align, Policy: p.Name, Mode: p.Mode, Watermark: p.Watermark, EvictionRatio: p.EvictionRatio,
	}}, storage.VirtualOptions{Seed: 1})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	r := simulation{w: w, m: m, c: &c, bytes: bytes}
	start := v.Now()
	for i := range w.events {
		if i%stepEvents == 0 {
			if err := ctx.Err(); err != nil {
				return c, err
			}
			progress(min(stepEvents, int64(len(w.events)-i)))
		}
		e := &w.events[i]
		v.RunUntil(start.Add(e.mono))
		if err := r.request(ctx, e); err != nil {
			return c, err
		}
	}
	return c, nil
}

// simulation is one run.
type simulation struct {
	w     *Workload
	m     *storage.Manager
	c     *belady.Count
	bytes int64 // of L1
	keys  []kv.Key
}

// request does what the host does: find, read, and store the rest.
func (r *simulation) request(ctx context.Context, e *event) error {
	if r.w.size(e.layout) > r.bytes {
		r.miss(e)
		return nil
	}
	r.keys = r.keys[:0]
	for _, n := range r.w.path[e.lo:e.hi] {
		r.keys = append(r.keys, r.w.keys[n])
	}
	if e.kind == belady.Insert {
		var after kv.Key
		if e.after >= 0 {
			after = r.w.keys[e.after]
		}
		return r.store(ctx, 0, after, e.layout)
	}
	found, err := r.read(ctx, e)
	if err != nil || found == len(r.keys) {
		return err
	}
	var after kv.Key
	if found > 0 {
		after = r.keys[found-1]
	}
	return r.store(ctx, found, after, e.layout)
}

// miss counts a lookup of what does not fit.
func (r *simulation) miss(e *event) {
	if e.kind == belady.Insert {
		return
	}
	for _, n := range r.w.path[e.lo:e.hi] {
		r.c.Requested++
		r.c.RequestedSize += r.w.sizes[n]
	}
}

// read looks the keys up and reads what was found. It returns how many the first
// ones are that were.
func (r *simulation) read(ctx context.Context, e *event) (found int, err error) {
	o := storage.PrefetchOptions{}
	if e.kind == belady.Sparse {
		o.Policy = storage.Sparse
	}
	p, err := r.m.SubmitPrefetch(ctx, r.keys, e.layout, o)
	if err != nil {
		return 0, err
	}
	defer p.Release()
	res, err := p.Wait(ctx)
	if err != nil {
		return 0, err
	}
	for i, n := range r.w.path[e.lo:e.hi] {
		size := r.w.sizes[n]
		r.c.Requested++
		r.c.RequestedSize += size
		if res.Found.Has(i) {
			r.c.Hits++
			r.c.HitSize += size
		}
	}
	// The last run first: a chunk is used later than those behind it.
	for hi := len(r.keys); hi > 0; {
		if !res.Found.Has(hi - 1) {
			hi--
			continue
		}
		lo := hi - 1
		for lo > 0 && res.Found.Has(lo-1) {
			lo--
		}
		l, err := p.Read(ctx, storage.Select{Lo: lo, Hi: hi})
		if err != nil {
			return 0, err
		}
		l.Finish()
		hi = lo
	}
	return res.Found.Prefix(), nil
}

// store writes what is not there of the keys from lo on.
func (r *simulation) store(ctx context.Context, lo int, after kv.Key, layout kv.Layout) error {
	// The manager keeps the keys of a lease.
	keys := append([]kv.Key(nil), r.keys[lo:]...)
	w, err := r.m.ReserveWrite(ctx, keys, layout, storage.New, storage.WriteOptions{After: after})
	if err != nil {
		return err
	}
	w.Finish()
	return nil
}
