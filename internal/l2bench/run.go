package l2bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Run measures the operations one after the other. What it has stored is deleted at
// the end. If ctx ends it returns what it has, and the context's error.
func Run(ctx context.Context, o Options) (results []Result, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	b, err := newBench(ctx, &o)
	if err != nil {
		return nil, err
	}
	var slots sync.WaitGroup
	for range b.s.Workers {
		slots.Go(func() {
			for job := range b.jobs {
				job()
			}
		})
	}
	defer release(b.mem)
	defer slots.Wait()
	defer close(b.jobs)
	if b.raw != nil {
		defer func() { err = errors.Join(err, b.raw.close()) }()
	}
	defer func() { err = errors.Join(err, b.remove(ctx, b.last())) }()
	for _, op := range []struct {
		op  Op
		run func(context.Context) (Result, error)
	}{{Store, b.stores}, {Lookup, b.lookups}, {Load, b.loads}} {
		if o.Only != All && o.Only != op.op {
			if op.op != Store {
				continue
			}
			if err := b.stock(ctx); err != nil { // what the others need
				return results, err
			}
			continue
		}
		r, err := op.run(ctx)
		if len(r.Durations) > 0 || err == nil {
			results = append(results, r)
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

func newBench(ctx context.Context, o *Options) (*bench, error) {
	layout, err := kv.RawLayout(o.Bytes)
	if err != nil {
		return nil, fmt.Errorf("l2bench: %w", err)
	}
	b := &bench{
		o: o, s: o.Settings.WithDefaults(), format: l2.FormatOf(o.Adapter), print: layout.Fingerprint(), run: rand.Uint64(),
		jobs: make(chan func()), check: make([]byte, o.Bytes),
	}
	n := o.Keys * o.InFlight
	head := b.format.HeadLen(b.key(0, 0), "")
	mem, err := memory(int64(n)*o.room(), o.HugePages)
	if err != nil {
		return nil, fmt.Errorf("l2bench: memory for %d objects of %d bytes: %w", n, o.Bytes, err)
	}
	b.mem = mem
	heads := make([]byte, n*head)
	for i := range n {
		at := int64(i) * o.room()
		b.items = append(b.items, l2.Item{Head: heads[i*head : (i+1)*head], Data: mem[at : at+o.Bytes : at+o.room()]})
	}
	if err := b.compareWith(ctx); err != nil {
		release(mem)
		return nil, err
	}
	return b, nil
}

// compareWith opens what the adapter is compared with.
func (b *bench) compareWith(ctx context.Context) error {
	if b.o.RawDir != "" {
		r, err := newRaw(ctx, b.o, b.s.Workers)
		if err != nil {
			return err
		}
		b.raw, b.rawDirect = r, r.direct
		return nil
	}
	if p, ok := l2.AbilityOf[l2.Plain](b.o.Adapter); ok && b.o.RawClient {
		c, err := newClient(ctx, b, p.Plain())
		if err != nil {
			return err
		}
		b.raw, b.rawClient = c, true
	}
	return nil
}

// rounds runs the warm-up and the measured rounds of an operation. play returns how
// long one took, how many keys were successful, and whether one was late.
func (b *bench) rounds(ctx context.Context, r *Result, title, what string, play func(round int) (time.Duration, int, bool)) error {
	b.say("[%s] Running %d warmup + %d measurement rounds...", title, b.o.Warmup, b.o.Rounds)
	for round := range b.o.Warmup + b.o.Rounds {
		if b.raw != nil && r.Operation == Store {
			b.raw.forget(ctx) // before the adapter's round: the store has as much free memory for both
		}
		took, success, late := play(round)
		if err := ctx.Err(); err != nil {
			return err
		}
		if round < b.o.Warmup {
			continue
		}
		r.Durations = append(r.Durations, took)
		r.Success += success
		if late {
			r.TimedOut++
		}
		b.say("  [%s] Round %d: %.2f ms, %s=%d/%d", title, round-b.o.Warmup+1, took.Seconds()*1e3, what, success, r.KeysPerRound)
		if b.raw != nil && r.Operation != Lookup {
			took, err := b.raw.round(ctx, r.Operation == Store, b.items)
			if err != nil {
				return err
			}
			r.Raw = append(r.Raw, took)
		}
	}
	return nil
}

func (b *bench) say(format string, args ...any) {
	if b.o.Progress != nil {
		b.o.Progress(fmt.Sprintf(format, args...))
	}
}

// last is the round of stores whose objects stay for lookups and loads.
func (b *bench) last() int { return b.o.Warmup + b.o.Rounds - 1 }

// result is an empty result of an operation.
func (b *bench) result(op Op) Result {
	r := Result{Operation: op, KeysPerRound: len(b.items), Failures: map[l2.Reason]int{}, Causes: map[l2.Reason]error{}, RawDirect: b.rawDirect, RawClient: b.rawClient}
	if op != Lookup {
		r.RoundBytes = int64(len(b.items)) * b.o.Bytes
	}
	return r
}

// count counts the items of a round that were successful, and of a measured round
// the failures of the others.
func (b *bench) count(r *Result, round int) (success int) {
	for i := range b.items {
		if err := b.items[i].Err; err == nil {
			success++
		} else if round >= b.o.Warmup {
			r.fail(err, 1)
		}
	}
	return success
}

func (b *bench) stores(ctx context.Context) (Result, error) {
	r := b.result(Store)
	r.Expected = len(b.items) * b.o.Rounds
	var failed error
	err := b.rounds(ctx, &r, "Store", "success_keys", func(round int) (time.Duration, int, bool) {
		b.prepare(round, true)
		took, late := b.each(ctx, b.s.Timeouts.Store, b.storeCall)
		success := b.count(&r, round)
		if round != b.last() || ctx.Err() != nil {
			if err := b.remove(ctx, round); failed == nil {
				failed = err
			}
		}
		return took, success, late
	})
	if err == nil && failed != nil {
		err = fmt.Errorf("l2bench: delete: %w", failed)
	}
	return r, err
}

// stock stores the objects that lookups and loads need, unmeasured.
func (b *bench) stock(ctx context.Context) error {
	b.prepare(b.last(), true)
	b.each(ctx, b.s.Timeouts.Store, b.storeCall)
	for i := range b.items {
		if err := b.items[i].Err; err != nil {
			return fmt.Errorf("l2bench: store: %w", err)
		}
	}
	return ctx.Err()
}

func (b *bench) lookups(ctx context.Context) (Result, error) {
	r := b.result(Lookup)
	keys, hits := b.wanted()
	r.Expected = hits * b.o.Rounds
	err := b.rounds(ctx, &r, "Lookup", "found", func(round int) (time.Duration, int, bool) {
		found := make([]l2.Found, len(keys))
		errs := make([]error, b.o.InFlight)
		var wg sync.WaitGroup
		begin := time.Now()
		for i := range b.o.InFlight {
			lo, hi := i*b.o.Keys, (i+1)*b.o.Keys
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, b.s.Timeouts.Lookup)
				defer cancel()
				errs[i] = b.o.Adapter.Lookup(ctx, keys[lo:hi], found[lo:hi])
			})
		}
		wg.Wait()
		took := time.Since(begin)
		success, late := 0, false
		for i, err := range errs {
			if err == nil {
				continue
			}
			late = late || errors.Is(err, context.DeadlineExceeded)
			if clear(found[i*b.o.Keys : (i+1)*b.o.Keys]); round >= b.o.Warmup {
				r.fail(err, b.o.Keys)
			}
		}
		for _, f := range found {
			if f.OK {
				success++
			}
		}
		return took, success, late
	})
	return r, err
}

// wanted are the keys of a round of lookups, and how many of them are there.
func (b *bench) wanted() (keys []kv.Key, hits int) {
	keys = make([]kv.Key, len(b.items))
	share := b.o.MaxHitRate
	if share == 0 {
		share = 1
	}
	per := int(share * float64(b.o.Keys)) // of each submission, the first ones
	for i := range keys {
		round := b.last()
		if i%b.o.Keys >= per {
			round = -1
		} else {
			hits++
		}
		keys[i] = b.key(round, i)
	}
	return keys, hits
}

func (b *bench) loads(ctx context.Context) (Result, error) {
	r := b.result(Load)
	r.Expected = len(b.items) * b.o.Rounds
	err := b.rounds(ctx, &r, "Load", "loaded", func(round int) (time.Duration, int, bool) {
		b.prepare(b.last(), false)
		took, late := b.each(ctx, b.s.Timeouts.Load, b.loadCall)
		r.Wrong += b.compare()
		return took, b.count(&r, round), late
	})
	return r, err
}

// fail counts keys that failed.
func (r *Result) fail(err error, keys int) {
	why := l2.ReasonOf(err)
	if r.Failures[why] += keys; r.Causes[why] == nil {
		r.Causes[why] = err
	}
}

// Failed says what went wrong, most frequent first; empty if nothing did.
func (r *Result) Failed() []string {
	var all []string
	for _, why := range slices.SortedFunc(maps.Keys(r.Failures), func(a, b l2.Reason) int {
		return cmp.Or(r.Failures[b]-r.Failures[a], cmp.Compare(a, b))
	}) {
		all = append(all, fmt.Sprintf("%s: %d keys failed: %s (%v)", r.Operation, r.Failures[why], why, r.Causes[why]))
	}
	if r.Wrong > 0 {
		all = append(all, fmt.Sprintf("%s: %d keys have other bytes than were stored", r.Operation, r.Wrong))
	}
	if n := r.Expected - r.Success; n > 0 && len(all) == 0 && len(r.Durations) > 0 {
		all = append(all, fmt.Sprintf("%s: %d of %d keys are missing", r.Operation, n, r.Expected))
	}
	return all
}
