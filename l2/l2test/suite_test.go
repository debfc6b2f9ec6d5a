package l2test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// recorder stands in for a test and takes note of what it would have reported.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, text)
}

func (r *recorder) Error(args ...any)                 { r.note(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Logf(string, ...any)               {}

// run runs one part against an adapter and returns what it found.
func run(t *testing.T, name string, a l2.Adapter) []string {
	t.Helper()
	r := &recorder{TB: t}
	for _, p := range parts() {
		if p.name != name {
			continue
		}
		var wg sync.WaitGroup
		wg.Go(func() { p.run(&suite{t: r, a: a, f: l2.FormatOf(a), o: gather([]Option{Calls(4000)})}) })
		wg.Wait()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		return r.errors
	}
	t.Fatalf("there is no part %s", name)
	return nil
}

// broken is an adapter that breaks its contract in one way.
type broken struct {
	*mem.Adapter
	store, load func(b *broken, ctx context.Context, items []l2.Item) error
	lookup      func(b *broken, ctx context.Context, keys []kv.Key, found []l2.Found) error
	remove      func(b *broken, ctx context.Context, keys []kv.Key, freed []int64) error
	list        func(b *broken, ctx context.Context, q l2.ListQuery) (l2.Page, error)
	kept        [][]byte
	lent        map[kv.Key][]byte
}

func (b *broken) Store(ctx context.Context, items []l2.Item) error {
	if b.store != nil {
		return b.store(b, ctx, items)
	}
	return b.Adapter.Store(ctx, items)
}

func (b *broken) Load(ctx context.Context, items []l2.Item) error {
	if b.load != nil {
		return b.load(b, ctx, items)
	}
	return b.Adapter.Load(ctx, items)
}

func (b *broken) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	if b.lookup != nil {
		return b.lookup(b, ctx, keys, found)
	}
	return b.Adapter.Lookup(ctx, keys, found)
}

func (b *broken) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	if b.remove != nil {
		return b.remove(b, ctx, keys, freed)
	}
	return b.Adapter.Delete(ctx, keys, freed)
}

func (b *broken) List(ctx context.Context, q l2.ListQuery) (l2.Page, error) {
	if b.list != nil {
		return b.list(b, ctx, q)
	}
	return b.Adapter.List(ctx, q)
}

// perItem calls f for each item of a load after it.
func perItem(f func(it *l2.Item)) func(*broken, context.Context, []l2.Item) error {
	return func(b *broken, ctx context.Context, items []l2.Item) error {
		err := b.Adapter.Load(ctx, items)
		for i := range items {
			f(&items[i])
		}
		return err
	}
}

// The suite finds what it is there to find: each way to break the contract fails the
// part that is about it.
func TestSuiteFindsBrokenAdapters(t *testing.T) {
	for _, c := range []struct {
		name, part string
		b          broken
	}{
		{"flips a bit", "StoreLoad", broken{load: perItem(func(it *l2.Item) { it.Data[0] ^= 1 })}},
		{"loses the head", "StoreLoad", broken{load: perItem(func(it *l2.Item) { clear(it.Head) })}},
		{"reports one byte less", "StoreLoad", broken{load: perItem(func(it *l2.Item) { it.N-- })}},
		{"writes into guards", "StoreLoad", broken{load: func(b *broken, ctx context.Context, items []l2.Item) error {
			items[0].Head, items[0].Data = items[0].Data, items[0].Head
			return b.Adapter.Load(ctx, items)
		}}},
		{"fails on nothing", "EmptyBatches", broken{lookup: func(*broken, context.Context, []kv.Key, []l2.Found) error { return l2.ErrIO }}},
		{"does only the first items", "LargeBatch", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			return b.Adapter.Store(ctx, items[:min(len(items), 64)])
		}}},
		{"keeps old answers", "Lookup", broken{lookup: func(b *broken, ctx context.Context, keys []kv.Key, found []l2.Found) error {
			now := make([]l2.Found, len(keys))
			err := b.Adapter.Lookup(ctx, keys, now)
			for i, f := range now {
				if f.OK {
					found[i] = f
				}
			}
			return err
		}}},
		{"tells another size", "Lookup", broken{lookup: func(b *broken, ctx context.Context, keys []kv.Key, found []l2.Found) error {
			err := b.Adapter.Lookup(ctx, keys, found)
			for i := range found {
				found[i].Size++
			}
			return err
		}}},
		{"deletes nothing", "Delete", broken{remove: func(*broken, context.Context, []kv.Key, []int64) error { return nil }}},
		{"frees too much", "Delete", broken{remove: func(b *broken, ctx context.Context, keys []kv.Key, freed []int64) error {
			err := b.Adapter.Delete(ctx, keys, freed)
			freed[0]++
			return err
		}}},
		{"says io for a miss", "NotFound", broken{load: perItem(func(it *l2.Item) { it.Err = l2.ErrIO })}},
		{"counts what it does not write", "ExistingKey", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			err := b.Adapter.Store(ctx, items)
			items[0].N = int64(len(items[0].Data))
			return err
		}}},
		{"overwrites", "ExistingKey", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			if err := b.Adapter.Delete(ctx, []kv.Key{items[0].Key}, make([]int64, 1)); err != nil {
				return err
			}
			return b.Adapter.Store(ctx, items)
		}}},
		{"skips what has another size", "ExistingKeyOfAnotherSize", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			found := make([]l2.Found, 1)
			if err := b.Adapter.Lookup(ctx, []kv.Key{items[0].Key}, found); err != nil || found[0].OK {
				items[0].N, items[0].Err = 0, nil
				return err
			}
			return b.Adapter.Store(ctx, items)
		}}},
		{"cuts what is too long", "TooLong", broken{load: perItem(func(it *l2.Item) {
			if errors.Is(it.Err, l2.ErrCorrupt) {
				it.Err, it.N = nil, int64(len(it.Data))
			}
		})}},
		{"fills what is shorter", "Shorter", broken{load: perItem(func(it *l2.Item) { it.N = int64(len(it.Data)) })}},
		{"gives up at the first failure", "OneFailingKey", broken{load: func(b *broken, ctx context.Context, items []l2.Item) error {
			for i := range items {
				if err := b.Adapter.Load(ctx, items[i:i+1]); err != nil || items[i].Err != nil {
					return errors.Join(err, items[i].Err)
				}
			}
			return nil
		}}},
		{"folds case", "HostileKeys", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			for i := range items {
				items[i].Key.Model = strings.ToLower(items[i].Key.Model)
			}
			return b.Adapter.Store(ctx, items)
		}}},
		{"forgets the group", "NearKeys", broken{lookup: func(b *broken, ctx context.Context, keys []kv.Key, found []l2.Found) error {
			keys[0].Group &= 1
			return b.Adapter.Lookup(ctx, keys, found)
		}, store: func(b *broken, ctx context.Context, items []l2.Item) error {
			items[0].Key.Group &= 1
			return b.Adapter.Store(ctx, items)
		}, load: func(b *broken, ctx context.Context, items []l2.Item) error {
			items[0].Key.Group &= 1
			return b.Adapter.Load(ctx, items)
		}}},
		{"keeps what it was lent", "BuffersAreNotKept", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			b.lent = map[kv.Key][]byte{}
			for i := range items {
				b.lent[items[i].Key] = items[i].Data
			}
			return b.Adapter.Store(ctx, items)
		}, load: func(b *broken, ctx context.Context, items []l2.Item) error {
			err := b.Adapter.Load(ctx, items)
			for i := range items {
				copy(items[i].Data, b.lent[items[i].Key])
			}
			return err
		}}},
		{"says that another one was faster", "SameKeyRace", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			err := b.Adapter.Store(ctx, items)
			for i := range items {
				items[i].N = 0
			}
			return err
		}}},
		{"loses objects that are deleted twice", "StoreLoadDeleteRace", broken{remove: func(*broken, context.Context, []kv.Key, []int64) error { return nil }}},
		{"swallows the end of the context", "CancelledBefore", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			_ = b.Adapter.Store(ctx, items)
			return nil
		}}},
		{"gives the end of the context no type", "DeadlinePassed", broken{lookup: func(b *broken, ctx context.Context, keys []kv.Key, found []l2.Found) error {
			if b.Adapter.Lookup(ctx, keys, found) != nil {
				return errors.New("oh")
			}
			return nil
		}}},
		{"says that a cancelled load succeeded", "CancelledDuring", broken{load: func(b *broken, ctx context.Context, items []l2.Item) error {
			for i := range items {
				if ctx.Done() != nil && ctx.Err() != nil {
					items[i].N, items[i].Err = int64(len(items[i].Data)), nil
				} else if err := b.Adapter.Load(context.WithoutCancel(ctx), items[i:i+1]); err != nil {
					return err
				}
				runtime.Gosched()
			}
			return nil
		}}},
		{"works on after Close", "CallsAfterClose", broken{load: func(*broken, context.Context, []l2.Item) error { return nil }}},
		{"fails calls during Close by another name", "CloseDuringCalls", broken{load: func(b *broken, ctx context.Context, items []l2.Item) error {
			if b.Adapter.Load(ctx, items) != nil {
				return l2.ErrIO
			}
			return nil
		}, store: func(b *broken, ctx context.Context, items []l2.Item) error {
			if b.Adapter.Store(ctx, items) != nil {
				return l2.ErrIO
			}
			return nil
		}}},
		{"lists models that begin alike", "List", broken{list: func(b *broken, ctx context.Context, q l2.ListQuery) (l2.Page, error) {
			q.Model = ""
			return b.Adapter.List(ctx, q)
		}}},
		{"lists the first page for ever", "List", broken{list: func(b *broken, ctx context.Context, q l2.ListQuery) (l2.Page, error) {
			q.Cursor = ""
			return b.Adapter.List(ctx, q)
		}}},
		{"leaks", "NothingGrows", broken{store: func(b *broken, ctx context.Context, items []l2.Item) error {
			b.kept = append(b.kept, make([]byte, 1024))
			return b.Adapter.Store(ctx, items)
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := mem.Open(mem.Options{Capacity: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			c.b.Adapter = a
			if found := run(t, c.part, &c.b); len(found) == 0 {
				t.Errorf("%s did not find an adapter that %s", c.part, c.name)
			} else {
				t.Log(found[0])
			}
			if good, err := mem.Open(mem.Options{Capacity: 1 << 30}); err != nil {
				t.Fatal(err)
			} else if found := run(t, c.part, good); len(found) != 0 {
				t.Errorf("%s condemns a good adapter: %q", c.part, found)
			}
		})
	}
}
