package fault

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Adapter makes the calls of another one fail. It has the abilities of that one, see
// [l2.AbilityOf], which do not fail.
type Adapter struct {
	inner l2.Adapter
	o     Options
	gate  l2.Gate
}

// New wraps an adapter, which it owns from then on.
func New(inner l2.Adapter, o Options) (*Adapter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Adapter{inner: inner, o: o}, nil
}

// Unwrap implements [l2.Wrapper].
func (a *Adapter) Unwrap() l2.Adapter { return a.inner }

// begin enters a call and waits for its latency.
func (a *Adapter) begin(ctx context.Context) error {
	if err := a.gate.Enter(); err != nil {
		return err
	}
	if err := a.gate.Pause(ctx, a.o.Latency); err != nil {
		a.gate.Leave()
		return err
	}
	return nil
}

// hang waits until the context ends.
func (a *Adapter) hang(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.gate.Closing():
		return l2.ErrClosed
	}
}

// deaf waits until the context ends, and goes on waiting.
func (a *Adapter) deaf(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return a.gate.Pause(context.WithoutCancel(ctx), Deaf)
	case <-a.gate.Closing():
		return l2.ErrClosed
	}
}

// fate of a key that does not simply go on.
type fate int

const (
	goes fate = iota
	fails
	hangs
	ignores
)

func (a *Adapter) fate(k kv.Key, rate float64, name string) fate {
	switch {
	case a.o.chosen(k, rate, name):
		return fails
	case a.o.chosen(k, a.o.HangRate, hangName):
		return hangs
	case a.o.chosen(k, a.o.IgnoreContextRate, ignoreName):
		return ignores
	}
	return goes
}

// move stores or loads: first what is not delayed, then what hangs.
func (a *Adapter) move(ctx context.Context, items []l2.Item, call func(context.Context, []l2.Item) error, rate float64, name string) error {
	var positions [ignores + 1][]int
	for i := range items {
		f := a.fate(items[i].Key, rate, name)
		positions[f] = append(positions[f], i)
	}
	if len(positions[goes]) == len(items) {
		return call(ctx, items)
	}
	for _, i := range positions[fails] {
		items[i].N, items[i].Err = 0, fmt.Errorf("fault: injected: %w", l2.ErrIO)
	}
	if err := some(ctx, items, positions[goes], call); err != nil {
		return err
	}
	if len(positions[hangs]) > 0 {
		err := a.hang(ctx)
		for _, i := range positions[hangs] {
			items[i].N, items[i].Err = 0, err
		}
	}
	if len(positions[ignores]) == 0 {
		return nil
	}
	if err := a.deaf(ctx); err != nil {
		for _, i := range positions[ignores] {
			items[i].N, items[i].Err = 0, err
		}
		return nil
	}
	return some(context.WithoutCancel(ctx), items, positions[ignores], call)
}

// some makes a call with some of the items.
func some(ctx context.Context, items []l2.Item, positions []int, call func(context.Context, []l2.Item) error) error {
	if len(positions) == 0 {
		return nil
	}
	part := make([]l2.Item, len(positions))
	for j, i := range positions {
		part[j] = items[i]
	}
	if err := call(ctx, part); err != nil {
		return err
	}
	for j, i := range positions {
		items[i] = part[j]
	}
	return nil
}

// Store implements [l2.Adapter].
func (a *Adapter) Store(ctx context.Context, items []l2.Item) error {
	if err := a.begin(ctx); err != nil {
		return err
	}
	defer a.gate.Leave()
	return a.move(ctx, items, a.inner.Store, a.o.StoreErrorRate, storeName)
}

// Load implements [l2.Adapter].
func (a *Adapter) Load(ctx context.Context, items []l2.Item) error {
	if err := a.begin(ctx); err != nil {
		return err
	}
	defer a.gate.Leave()
	if err := a.move(ctx, items, a.inner.Load, 0, missName); err != nil {
		return err
	}
	for i := range items {
		if items[i].Err == nil {
			a.spoil(&items[i], i, len(items))
		}
	}
	return nil
}

// spoil does to a load that has succeeded what is chosen for it.
func (a *Adapter) spoil(it *l2.Item, i, n int) {
	switch {
	case a.o.gap(i, n) || a.o.chosen(it.Key, a.o.Rate, missName):
		it.N, it.Err = 0, fmt.Errorf("fault: injected: %w", l2.ErrNotFound)
	case a.o.chosen(it.Key, a.o.ShortReadRate, shortName):
		clear(it.Data[it.N/2 : it.N])
		it.N /= 2
	case it.N > 0 && a.o.chosen(it.Key, a.o.CorruptRate, corruptName):
		it.Data[it.N/2] ^= 1
	}
}

// Lookup implements [l2.Adapter].
func (a *Adapter) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	if err := a.begin(ctx); err != nil {
		return err
	}
	defer a.gate.Leave()
	var has [ignores + 1]bool
	for _, k := range keys {
		has[a.fate(k, 0, "")] = true
	}
	if has[hangs] {
		return a.hang(ctx)
	}
	if has[ignores] {
		if err := a.deaf(ctx); err != nil {
			return err
		}
		ctx = context.WithoutCancel(ctx)
	}
	if err := a.inner.Lookup(ctx, keys, found); err != nil {
		return err
	}
	for i, k := range keys {
		if a.o.chosen(k, a.o.LookupErrorRate, lookupName) {
			found[i] = l2.Found{Err: fmt.Errorf("fault: injected: %w", l2.ErrIO)}
		}
	}
	return nil
}

// Delete implements [l2.Adapter]. Only the latency applies.
func (a *Adapter) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	if err := a.begin(ctx); err != nil {
		return err
	}
	defer a.gate.Leave()
	return a.inner.Delete(ctx, keys, freed)
}

// Close implements [l2.Adapter]. Calls that hang end with [l2.ErrClosed].
func (a *Adapter) Close() error {
	a.gate.Close()
	return a.inner.Close()
}
