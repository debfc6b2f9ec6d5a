package l2test_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func faulty(tb testing.TB) *l2test.Faulty {
	tb.Helper()
	a, err := mem.Open(mem.Options{Capacity: 1 << 30})
	if err != nil {
		tb.Fatal(err)
	}
	return l2test.NewFaulty(a)
}

// Without faults it is what it wraps.
func TestFaultyContract(t *testing.T) {
	l2test.Run(t, func(tb testing.TB) l2.Adapter { return faulty(tb) })
}

func items(n int) []l2.Item {
	all := make([]l2.Item, n)
	for i := range all {
		all[i] = l2.Item{Key: kv.Key{Hash: kv.Hash32([32]byte{byte(i)}), Model: "m"}, Head: []byte("head-of-object"), Data: make([]byte, 100)}
		for j := range all[i].Data {
			all[i].Data[j] = byte(i + 1)
		}
	}
	return all
}

func keys(all []l2.Item) []kv.Key {
	k := make([]kv.Key, len(all))
	for i := range all {
		k[i] = all[i].Key
	}
	return k
}

func only(i int) func(kv.Key) bool {
	return func(k kv.Key) bool { return k == items(i + 1)[i].Key }
}

func stored(t *testing.T, f *l2test.Faulty) []l2.Item {
	t.Helper()
	all := items(4)
	if err := f.Store(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFaultsOfKeys(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault l2test.Fault
		ns    []int64
		errs  []error
		first []byte // of the payloads
	}{
		{"none", l2test.Fault{Op: l2test.Store}, []int64{100, 100, 100, 100}, make([]error, 4), []byte{1, 2, 3, 4}},
		{"fail", l2test.Fault{Op: l2test.Load, Match: only(1)}, []int64{100, 0, 100, 100}, []error{nil, l2.ErrIO, nil, nil}, []byte{1, 0, 3, 4}},
		{"skip and times", l2test.Fault{Op: l2test.Load, Err: l2.ErrNotFound, Skip: 1, Times: 2}, []int64{100, 0, 0, 100}, []error{nil, l2.ErrNotFound, l2.ErrNotFound, nil}, []byte{1, 0, 0, 4}},
		{"short", l2test.Fault{Effect: l2test.Short, Match: only(2)}, []int64{100, 100, 50, 100}, make([]error, 4), []byte{1, 2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := faulty(t)
			defer f.Close()
			all := stored(t, f)
			for i := range all {
				clear(all[i].Data)
			}
			in := f.Inject(c.fault)
			if err := f.Load(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			hits := 0
			for i, it := range all {
				if it.N != c.ns[i] || !errors.Is(it.Err, c.errs[i]) || it.Data[0] != c.first[i] {
					t.Errorf("item %d: N %d, error %v, data %d", i, it.N, it.Err, it.Data[0])
				}
				if it.N != 100 {
					hits++
				}
			}
			if in.Hits() != hits {
				t.Errorf("%d hits, want %d", in.Hits(), hits)
			}
		})
	}
}

// Exactly one bit is wrong, in the payload or in the head.
func TestFaultyCorrupts(t *testing.T) {
	for _, effect := range []l2test.Effect{l2test.Corrupt, l2test.BadHead} {
		f := faulty(t)
		all := stored(t, f)
		want := items(4)
		f.Inject(l2test.Fault{Effect: effect, Match: only(3)})
		if err := f.Load(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			heads, data := bits(all[i].Head, want[i].Head), bits(all[i].Data, want[i].Data)
			if all[i].Err != nil || all[i].N != 100 {
				t.Errorf("item %d: N %d, error %v", i, all[i].N, all[i].Err)
			}
			switch {
			case i != 3 && heads+data != 0,
				i == 3 && effect == l2test.Corrupt && (heads != 0 || data != 1),
				i == 3 && effect == l2test.BadHead && (heads != 1 || data != 0):
				t.Errorf("effect %d, item %d: %d bits of the head and %d of the payload are wrong", effect, i, heads, data)
			}
		}
		f.Close()
	}
}

func bits(a, b []byte) int {
	n := 0
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}

func TestFaultsOfOtherOperations(t *testing.T) {
	f := faulty(t)
	defer f.Close()
	full := f.Inject(l2test.Fault{Op: l2test.Store, Err: l2.ErrNoSpace, Match: only(0)})
	lost := f.Inject(l2test.Fault{Op: l2test.Store, Effect: l2test.Lose, Match: only(1)})
	all := stored(t, f)
	if !errors.Is(all[0].Err, l2.ErrNoSpace) || all[1].Err != nil || all[1].N != 100 || all[2].N != 100 {
		t.Errorf("store: %v, %v, %d", all[0].Err, all[1].Err, all[2].N)
	}
	full.Remove()
	lost.Remove()
	f.Inject(l2test.Fault{Op: l2test.Lookup, Match: only(2)})
	found := make([]l2.Found, 4)
	if err := f.Lookup(t.Context(), keys(all), found); err != nil {
		t.Fatal(err)
	}
	if found[0].OK || found[1].OK || found[2].OK || !found[3].OK {
		t.Errorf("found %v, want only the last", found)
	}
	f.Inject(l2test.Fault{Op: l2test.Delete, Match: only(3)})
	freed := make([]int64, 4)
	if err := f.Delete(t.Context(), keys(all), freed); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int64{0, 0, 114, -1}, freed); d != "" {
		t.Errorf("freed (-want +got)\n%s", d)
	}
	counts := []int{f.Calls(l2test.Store), f.Calls(l2test.Load), f.Calls(l2test.AnyOp), f.Keys(l2test.Delete), f.Keys(l2test.AnyOp), f.InFlight()}
	if d := cmp.Diff([]int{1, 0, 3, 4, 12, 0}, counts); d != "" {
		t.Errorf("counts (-want +got)\n%s", d)
	}
}

func TestFaultsOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty(t)
		all := stored(t, f)
		f.Inject(l2test.Fault{Op: l2test.Load, Effect: l2test.FailCall, Err: l2.ErrConnection, Times: 1, Match: only(2)})
		if err := f.Load(t.Context(), all[:2]); err != nil {
			t.Errorf("a call without the key: %v", err)
		}
		if err := f.Load(t.Context(), all); !errors.Is(err, l2.ErrConnection) {
			t.Errorf("the call: %v", err)
		}
		if err := f.Load(t.Context(), all); err != nil {
			t.Errorf("the call after it: %v", err)
		}

		start := time.Now()
		hang := f.Inject(l2test.Fault{Op: l2test.Load, Effect: l2test.Hang})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := f.Load(ctx, all); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("a call that hangs: %v after %v", err, time.Since(start))
		}
		cancel()
		hang.Remove()

		start = time.Now()
		slow := f.Inject(l2test.Fault{Effect: l2test.Slow, Delay: time.Second})
		if err := f.Load(t.Context(), all); err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("four slow keys: %v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		if err := f.Load(ctx, all); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow call beyond its context: %v", err)
		}
		cancel()
		slow.Remove()

		// A deaf call writes into its memory after its context has ended, when it is let go.
		deaf := f.Inject(l2test.Fault{Effect: l2test.Deaf})
		clear(all[0].Data)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		done := make(chan error)
		go func() { done <- f.Load(ctx, all) }()
		<-deaf.Hit()
		<-ctx.Done()
		cancel()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- f.Close() }()
		synctest.Wait()
		if f.InFlight() != 1 || all[0].Data[0] != 0 {
			t.Errorf("%d calls in flight, data %d", f.InFlight(), all[0].Data[0])
		}
		select {
		case <-closed:
			t.Error("Close has not waited for the call")
		default:
		}
		f.Clear()
		if err := <-done; err != nil || all[0].Data[0] != 1 {
			t.Errorf("the call: %v, data %d", err, all[0].Data[0])
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

func TestFaultyPanics(t *testing.T) {
	f := faulty(t)
	defer f.Close()
	f.Inject(l2test.Fault{Op: l2test.Store, Effect: l2test.Panic})
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, l2.ErrIO) {
			t.Errorf("panic with %v", err)
		}
		if f.InFlight() != 0 {
			t.Error("a call that has panicked is in flight")
		}
	}()
	_ = f.Store(t.Context(), items(1))
}

// The abilities of the inner adapter are found, those that it lacks are not.
func TestFaultyAbilities(t *testing.T) {
	f := faulty(t)
	defer f.Close()
	if _, ok := l2.AbilityOf[l2.Scanner](f); !ok {
		t.Error("it cannot be scanned")
	}
	if _, ok := l2.AbilityOf[l2.Limiter](f); ok {
		t.Error("it has a limit")
	}
}
