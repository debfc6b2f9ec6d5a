package storage_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage"
)

// Two owners of the same keys keep their own holders, and each call by keys becomes
// the calls on the leases that stand behind it.
func TestOwnersHoldByKey(t *testing.T) {
	w := newWorld(t, 8)
	rec := w.record()
	writer, a, b := w.m.NewOwner(), w.m.NewOwner(), w.m.NewOwner()
	if _, err := writer.ReserveWrite(t.Context(), keys("abcdef"), w.layout, storage.New, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	failed := [][]int{writer.FinishWrite(keys("abd")), writer.AbortWrite(keys("f")), writer.FinishWrite(keys("xcfe"))}
	if !cmp.Equal(failed, [][]int{nil, nil, {0, 2}}) || !writer.Idle() {
		t.Errorf("failed %v, idle %v", failed, writer.Idle())
	}
	for _, o := range []*storage.Owner{a, b} {
		if _, err := o.SubmitPrefetch(t.Context(), keys("abcdef"), w.layout, storage.PrefetchOptions{Readers: 2}); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := a.Enter(t.Context(), keys("ace"))
	if err != nil || len(leases) != 1 || !cmp.Equal(leases[0].Keys(), keys("ace")) {
		t.Fatalf("%v, %v", leases, err)
	}
	if a.Exit(keys("ac")) || !a.Exit(keys("ace")) || a.Exit(keys("ace")) || b.Exit(keys("ace")) {
		t.Error("scopes are not matched by their keys")
	}
	if bad := a.FinishRead(keys("ace"), 1, storage.Claimed); bad != nil {
		t.Errorf("%v failed", bad)
	}
	if _, err := a.Enter(t.Context(), keys("f")); err == nil || err.Error() != "storage: read: 1 of 1 keys have no lease" {
		t.Errorf("a key that was not found: %v", err)
	}
	// One claimed and one unclaimed holder go in one call; the other owner's stay.
	if _, err := a.Enter(t.Context(), keys("b")); err != nil {
		t.Fatal(err)
	}
	if bad := a.FinishRead(keys("bd"), 2, storage.AnyHolders); bad != nil {
		t.Errorf("%v failed", bad)
	}
	if bad := a.FinishRead(keys("bd"), 1, storage.Unclaimed); !slices.Equal(bad, []int{0, 1}) {
		t.Errorf("%v failed, want both: nothing is held", bad)
	}
	if bad := a.FinishRead(keys("ace"), 1, storage.Unclaimed); bad != nil || a.Idle() {
		t.Errorf("%v failed, idle %v: a scope is open", bad, a.Idle())
	}
	a.Exit(keys("b"))
	if !a.Idle() || b.Idle() {
		t.Errorf("idle: %v and %v", a.Idle(), b.Idle())
	}
	if got := w.m.Delete(keys("abcde"), false); !slices.Equal(fmt2(got), []string{"KEY_IS_LOCKED", "KEY_IS_LOCKED", "KEY_IS_LOCKED", "KEY_IS_LOCKED", "KEY_IS_LOCKED"}) {
		t.Errorf("the other owner's leases: %v", got)
	}
	for _, o := range []*storage.Owner{a, b, writer} {
		o.Close()
		o.Close()
	}
	if got := w.m.Delete(keys("abcde"), false); slices.ContainsFunc(fmt2(got), func(s string) bool { return s != "SUCCESS" }) {
		t.Errorf("after the end of the owners: %v", got)
	}
	if n := w.m.Stats().Prefetches; n != 0 {
		t.Errorf("%d prefetches are not released", n)
	}
	w.bus.Drain(w.v.Now())
	var calls []string
	for _, l := range rec.lines {
		var n int
		var name, ks string
		if k, _ := fmt.Sscanf(l, "%d %s %s", &n, &name, &ks); k == 3 && name != "done" {
			calls = append(calls, name+" "+ks)
		}
	}
	want := []string{
		"reserve_write abcdef", "finish_write ab", "finish_write d", "finish_write cde",
		"submit_prefetch_task abcdef", "submit_prefetch_task abcdef",
		"read_prefetched_results.__enter__ ace", "read_prefetched_results.__exit__ ace", "finish_read_prefetched ace",
		"read_prefetched_results.__enter__ b", "read_prefetched_results.__exit__ b",
		"finish_read_prefetched b", "finish_read_prefetched d", "finish_read_prefetched b", "finish_read_prefetched ace",
	}
	if diff := cmp.Diff(want, calls[:min(len(calls), len(want))]); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// fmt2 are codes by name.
func fmt2[C fmt.Stringer](codes []C) (names []string) {
	for _, c := range codes {
		names = append(names, c.String())
	}
	return names
}

// What an owner forgot is given back when it is closed.
func TestOwnerCloseGivesAllBack(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	o := w.m.NewOwner()
	if _, err := o.ReserveWrite(t.Context(), keys("cd"), w.layout, storage.New, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.SubmitPrefetch(t.Context(), keys("ab"), w.layout, storage.PrefetchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Enter(t.Context(), keys("a")); err != nil {
		t.Fatal(err)
	}
	o.Close()
	if n := w.m.Clear(false); n != 2 || w.m.Stats().Prefetches != 0 {
		t.Errorf("%d objects could be cleared, want 2; %d prefetches", n, w.m.Stats().Prefetches)
	}
	if err := w.m.Check(); err != nil {
		t.Error(err)
	}
}

// A read that fails takes the holders that it could claim with it, as it does where
// it was recorded.
func TestOwnersFailedRead(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	o := w.m.NewOwner()
	if _, err := o.SubmitPrefetch(t.Context(), keys("abx"), w.layout, storage.PrefetchOptions{Readers: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Enter(t.Context(), keys("abx")); err == nil {
		t.Error("x was not found")
	}
	if bad := o.FinishRead(keys("ab"), 2, storage.Unclaimed); len(bad) != 2 || !o.Idle() {
		t.Errorf("%v failed, want both: one of two holders of each is gone; idle %v", bad, o.Idle())
	}
	if _, err := o.SubmitPrefetch(t.Context(), keys("ab"), w.layout, storage.PrefetchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Enter(t.Context(), keys("ab")); err != nil {
		t.Fatal(err)
	}
	if bad := o.AbortRead(keys("abc")); !slices.Equal(bad, []int{2}) {
		t.Errorf("%v failed, want the last one", bad)
	}
	o.Exit(keys("ab"))
	if !o.Idle() || w.m.Clear(false) != 2 {
		t.Error("something is held after the reader failed")
	}
	o.Close()
}
