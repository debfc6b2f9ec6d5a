package l2test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Faulty is an adapter around another one that fails on request and counts calls. It
// has the abilities of the inner one, see [l2.AbilityOf]; those are not made to fail.
type Faulty struct {
	inner l2.Adapter
	gate  l2.Gate
	mu    struct {
		sync.Mutex
		faults []*Injected
		counts [Delete + 1]count
		now    int
	}
}

type count struct{ calls, keys int }

// NewFaulty wraps an adapter, which it owns.
func NewFaulty(inner l2.Adapter) *Faulty { return &Faulty{inner: inner} }

// Inject puts a fault into effect, behind those that are. Of several that meet the
// same key, the first effect but slowness counts.
func (f *Faulty) Inject(fault Fault) *Injected {
	if fault.Err == nil {
		fault.Err = l2.ErrIO
	}
	i := &Injected{f: fault, hit: make(chan struct{}), gone: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.faults = append(slices.DeleteFunc(f.mu.faults, (*Injected).removed), i)
	return i
}

// Clear removes all faults.
func (f *Faulty) Clear() {
	f.mu.Lock()
	faults := slices.Clone(f.mu.faults)
	f.mu.Unlock()
	for _, i := range faults {
		i.Remove()
	}
}

// Calls is how many calls of an operation, or of all, have begun.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for o, c := range f.mu.counts {
		if op == AnyOp || Op(o) == op {
			n += c.calls
		}
	}
	return n
}

// Keys is how many keys those calls had.
func (f *Faulty) Keys(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for o, c := range f.mu.counts {
		if op == AnyOp || Op(o) == op {
			n += c.keys
		}
	}
	return n
}

// InFlight is how many calls have begun and not returned.
func (f *Faulty) InFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.now
}

// Unwrap implements [l2.Wrapper].
func (f *Faulty) Unwrap() l2.Adapter { return f.inner }

// plan is what happens to one call.
type plan struct {
	call  *Injected   // an effect on all of it
	keys  []*Injected // by key; nil: none
	delay time.Duration
	slow  []*Injected
}

// begin counts a call and draws what happens to it. It must be ended.
func (f *Faulty) begin(op Op, keys []kv.Key) (plan, error) {
	if err := f.gate.Enter(); err != nil {
		return plan{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.now++
	f.mu.counts[op].calls++
	f.mu.counts[op].keys += len(keys)
	p := plan{keys: make([]*Injected, len(keys))}
	for _, i := range f.mu.faults {
		if i.removed() || (i.f.Op != AnyOp && i.f.Op != op) {
			continue
		}
		p.meet(i, keys)
	}
	return p, nil
}

func (p *plan) meet(i *Injected, keys []kv.Key) {
	match := func(k kv.Key) bool { return i.f.Match == nil || i.f.Match(k) }
	switch {
	case i.f.Effect >= FailCall:
		if p.call == nil && slices.ContainsFunc(keys, match) && i.take() {
			p.call = i
		}
	case i.f.Effect == Slow:
		for _, k := range keys {
			if match(k) && i.take() {
				p.delay += i.f.Delay
				p.slow = append(p.slow, i)
			}
		}
	default:
		for n, k := range keys {
			if p.keys[n] == nil && match(k) && i.take() {
				p.keys[n] = i
			}
		}
	}
}

func (f *Faulty) end() {
	f.mu.Lock()
	f.mu.now--
	f.mu.Unlock()
	f.gate.Leave()
}

// obey does what is planned for the call as a whole.
func (p *plan) obey(ctx context.Context) error {
	if p.delay > 0 {
		timer := time.NewTimer(p.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.call == nil {
		return nil
	}
	switch p.call.f.Effect {
	case Hang:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.call.gone:
		}
	case Deaf:
		<-p.call.gone
	case Panic:
		panic(p.call.f.Err)
	default:
		return p.call.f.Err
	}
	return nil
}

// effect of a key; -1: none.
func (p *plan) effect(i int) Effect {
	if p.keys[i] == nil {
		return -1
	}
	return p.keys[i].f.Effect
}

// passing are the positions whose key goes on to the inner adapter.
func (p *plan) passing(stops ...Effect) []int {
	var pass []int
	for i := range p.keys {
		if !slices.Contains(stops, p.effect(i)) {
			pass = append(pass, i)
		}
	}
	return pass
}

// err is why a key fails.
func (p *plan) err(i int) error { return fmt.Errorf("l2test: injected: %w", p.keys[i].f.Err) }

func itemKeys(items []l2.Item) []kv.Key {
	keys := make([]kv.Key, len(items))
	for i := range items {
		keys[i] = items[i].Key
	}
	return keys
}

// deaf is the context of what goes on behind a call that did not listen to its own.
func (p *plan) deaf(ctx context.Context) context.Context {
	if p.call != nil && p.call.f.Effect == Deaf {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// withSome makes a call with some of the items, unless there is none left.
func withSome(ctx context.Context, items []l2.Item, pass []int, call func(context.Context, []l2.Item) error) error {
	if len(pass) == 0 && len(items) > 0 {
		return nil
	}
	sub := make([]l2.Item, len(pass))
	for j, i := range pass {
		sub[j] = items[i]
	}
	if err := call(ctx, sub); err != nil {
		return err
	}
	for j, i := range pass {
		items[i] = sub[j]
	}
	return nil
}

// Store implements [l2.Adapter].
func (f *Faulty) Store(ctx context.Context, items []l2.Item) error {
	p, err := f.begin(Store, itemKeys(items))
	if err != nil {
		return err
	}
	defer f.end()
	if err := p.obey(ctx); err != nil {
		return err
	}
	if err := withSome(p.deaf(ctx), items, p.passing(Fail, Lose), f.inner.Store); err != nil {
		return err
	}
	for i := range items {
		switch p.effect(i) {
		case Fail:
			items[i].N, items[i].Err = 0, p.err(i)
		case Lose:
			items[i].N, items[i].Err = int64(len(items[i].Data)), nil
		}
	}
	return nil
}

// Load implements [l2.Adapter].
func (f *Faulty) Load(ctx context.Context, items []l2.Item) error {
	p, err := f.begin(Load, itemKeys(items))
	if err != nil {
		return err
	}
	defer f.end()
	if err := p.obey(ctx); err != nil {
		return err
	}
	if err := withSome(p.deaf(ctx), items, p.passing(Fail), f.inner.Load); err != nil {
		return err
	}
	for i := range items {
		p.damage(i, &items[i])
	}
	return nil
}

// damage is what a fault does to one item of a load.
func (p *plan) damage(i int, it *l2.Item) {
	effect := p.effect(i)
	if effect == Fail {
		it.N, it.Err = 0, p.err(i)
	}
	if it.Err != nil {
		return
	}
	switch {
	case effect == Short:
		it.N /= 2
		clear(it.Data[it.N:])
	case (effect == BadHead || (effect == Corrupt && it.N == 0)) && len(it.Head) > 0:
		it.Head[len(it.Head)/2] ^= 1
	case effect == Corrupt && it.N > 0:
		it.Data[it.N/2] ^= 1
	}
}

// Lookup implements [l2.Adapter].
func (f *Faulty) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	p, err := f.begin(Lookup, keys)
	if err != nil {
		return err
	}
	defer f.end()
	if err := p.obey(ctx); err != nil {
		return err
	}
	if err := f.inner.Lookup(p.deaf(ctx), keys, found); err != nil {
		return err
	}
	for i := range keys {
		if p.effect(i) == Fail {
			found[i] = l2.Found{Err: p.err(i)}
		}
	}
	return nil
}

// Delete implements [l2.Adapter].
func (f *Faulty) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	p, err := f.begin(Delete, keys)
	if err != nil {
		return err
	}
	defer f.end()
	if err := p.obey(ctx); err != nil {
		return err
	}
	pass := p.passing(Fail)
	sub, got := make([]kv.Key, len(pass)), make([]int64, len(pass))
	for j, i := range pass {
		sub[j] = keys[i]
	}
	if len(sub) > 0 || len(keys) == 0 {
		if err := f.inner.Delete(p.deaf(ctx), sub, got); err != nil {
			return err
		}
	}
	for i := range freed {
		freed[i] = -1
	}
	for j, i := range pass {
		freed[i] = got[j]
	}
	return nil
}

// Close implements [l2.Adapter]. As the contract says it waits for all calls, those
// that a [Deaf] fault holds included: remove it first.
func (f *Faulty) Close() error {
	f.gate.Close()
	return f.inner.Close()
}
