package mem

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Options of an adapter.
type Options struct {
	Capacity  int64         // stored bytes at most, above 0
	Bandwidth int64         // bytes per second that all loads and stores share; 0: no limit
	Latency   time.Duration // of each call that has items, besides its bytes
	Format    l2.Format     // zero: v1
	Store     *Store        // where the objects are; nil: a new one
}

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	var errs []error
	if o.Capacity <= 0 {
		errs = append(errs, fmt.Errorf("mem: Capacity: %d bytes, must be above 0", o.Capacity))
	}
	if o.Bandwidth < 0 {
		errs = append(errs, fmt.Errorf("mem: Bandwidth: %d bytes per second is negative", o.Bandwidth))
	}
	if o.Latency < 0 {
		errs = append(errs, fmt.Errorf("mem: Latency: %v is negative", o.Latency))
	}
	return errors.Join(errs...)
}

// Adapter keeps objects in memory. It can be listed and scanned and keeps the times
// of use.
type Adapter struct {
	o     Options
	store *Store
	link  link
	gate  l2.Gate
}

// Open returns an adapter.
func Open(o Options) (*Adapter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Store == nil {
		o.Store = &Store{}
	}
	return &Adapter{o: o, store: o.Store, link: link{rate: o.Bandwidth}}, nil
}

// begin enters a call of n keys and waits for its latency.
func (a *Adapter) begin(ctx context.Context, n int) error {
	if err := a.gate.Enter(); err != nil {
		return err
	}
	err := ctx.Err()
	if err == nil && n > 0 {
		err = a.gate.Pause(ctx, a.o.Latency)
	}
	if err != nil {
		a.gate.Leave()
	}
	return err
}

// move waits until n bytes have passed.
func (a *Adapter) move(ctx context.Context, n int) error {
	end, wait := a.link.take(n, time.Now())
	err := a.gate.Pause(ctx, wait)
	if err != nil {
		a.link.cancel(end, time.Now())
	}
	return err
}

// Store implements [l2.Adapter].
func (a *Adapter) Store(ctx context.Context, items []l2.Item) error {
	if err := a.begin(ctx, len(items)); err != nil {
		return err
	}
	defer a.gate.Leave()
	for i := range items {
		it := &items[i]
		it.N, it.Err = a.storeOne(ctx, it)
	}
	return nil
}

func (a *Adapter) storeOne(ctx context.Context, it *l2.Item) (int64, error) {
	size := len(it.Head) + len(it.Data)
	if int64(size) > a.o.Capacity {
		return 0, fmt.Errorf("mem: %w: %d bytes of %d", l2.ErrTooLarge, size, a.o.Capacity)
	}
	if old, ok := a.store.has(it.Key); ok && old == int64(size) {
		return 0, nil
	}
	if err := a.move(ctx, size); err != nil {
		return 0, err
	}
	b := make([]byte, size)
	copy(b[copy(b, it.Head):], it.Data)
	switch written, room := a.store.put(it.Key, b, a.o.Capacity, time.Now()); {
	case !room:
		return 0, fmt.Errorf("mem: %w", l2.ErrNoSpace)
	case !written:
		return 0, nil // another writer was faster
	}
	return int64(len(it.Data)), nil
}

// Load implements [l2.Adapter].
func (a *Adapter) Load(ctx context.Context, items []l2.Item) error {
	if err := a.begin(ctx, len(items)); err != nil {
		return err
	}
	defer a.gate.Leave()
	for i := range items {
		it := &items[i]
		it.N, it.Err = a.loadOne(ctx, it)
	}
	return nil
}

func (a *Adapter) loadOne(ctx context.Context, it *l2.Item) (int64, error) {
	b, ok := a.store.get(it.Key)
	if !ok {
		return 0, l2.ErrNotFound
	}
	if n := len(b) - len(it.Head); n < 0 || n > len(it.Data) {
		return 0, fmt.Errorf("mem: %w: %d bytes, want %d", l2.ErrCorrupt, len(b), len(it.Head)+len(it.Data))
	}
	if err := a.move(ctx, len(b)); err != nil {
		return 0, err
	}
	return int64(copy(it.Data, b[copy(it.Head, b):])), nil
}

// Lookup implements [l2.Adapter].
func (a *Adapter) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	if err := a.begin(ctx, len(keys)); err != nil {
		return err
	}
	defer a.gate.Leave()
	for i, k := range keys {
		size, ok := a.store.has(k)
		found[i] = l2.Found{OK: ok, Size: size}
	}
	return nil
}

// Delete implements [l2.Adapter].
func (a *Adapter) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	if err := a.begin(ctx, len(keys)); err != nil {
		return err
	}
	defer a.gate.Leave()
	for i, k := range keys {
		freed[i] = a.store.remove(k)
	}
	return nil
}

// Close implements [l2.Adapter]. Calls that wait for bandwidth or latency end at once.
func (a *Adapter) Close() error {
	a.gate.Close()
	return nil
}

// Format implements [l2.Formatter].
func (a *Adapter) Format() l2.Format { return a.o.Format }

// List implements [l2.Lister]. Objects come in the order of their arrival; the cursor
// is the number of the last one.
func (a *Adapter) List(ctx context.Context, q l2.ListQuery) (l2.Page, error) {
	var seq uint64
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 10, 64)
		if err != nil {
			return l2.Page{}, fmt.Errorf("mem: list: cursor %q: %w", q.Cursor, l2.ErrCursor)
		}
		seq = n
	}
	if err := a.begin(ctx, 1); err != nil {
		return l2.Page{}, err
	}
	defer a.gate.Leave()
	all := a.store.after(seq, q.Model)
	n := min(len(all), max(q.PageSize, 1))
	var p l2.Page
	for _, e := range all[:n] {
		p.Entries = append(p.Entries, l2.Entry{Key: e.key, Size: e.size, Used: e.used})
	}
	if n < len(all) {
		p.Next = strconv.FormatUint(all[n-1].seq, 10)
	}
	return p, nil
}

// Scan implements [l2.Scanner].
func (a *Adapter) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return func(yield func(l2.Entry, error) bool) {
		if err := a.begin(ctx, 1); err != nil {
			yield(l2.Entry{}, err)
			return
		}
		defer a.gate.Leave()
		for _, e := range a.store.after(0, "") {
			if err := ctx.Err(); err != nil {
				yield(l2.Entry{}, err)
				return
			}
			if !yield(l2.Entry{Key: e.key, Size: e.size, Used: e.used}, nil) {
				return
			}
		}
	}
}

// Touch implements [l2.Toucher].
func (a *Adapter) Touch(_ context.Context, keys []kv.Key, at time.Time) {
	if a.gate.Enter() != nil {
		return
	}
	defer a.gate.Leave()
	for _, k := range keys {
		a.store.touch(k, at)
	}
}
