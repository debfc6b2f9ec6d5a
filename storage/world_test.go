package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// world is a manager in virtual time, and everything that it publishes.
type world struct {
	t      *testing.T
	bus    *eventbus.Bus
	m      *storage.Manager
	v      *storage.Virtual
	layout kv.Layout
	seen   transcript
}

const objectBytes = 4096

// newWorld opens a manager for so many objects of objectBytes, with bytes.
func newWorld(t *testing.T, objects int64, change ...func(*storage.Options)) *world {
	t.Helper()
	return openWorld(t, objects, &storage.VirtualOptions{}, change...)
}

func openWorld(t *testing.T, objects int64, v *storage.VirtualOptions, change ...func(*storage.Options)) *world {
	t.Helper()
	w := &world{t: t, bus: eventbus.New(eventbus.Options{Manual: true}), layout: rawLayout(t, objectBytes)}
	if _, err := w.bus.Subscribe(&w.seen); err != nil {
		t.Fatal(err)
	}
	o := storage.Options{L1: l1.Options{Bytes: objects * objectBytes}, Bus: w.bus}
	for _, f := range change {
		f(&o)
	}
	var err error
	if w.m, w.v, err = storage.OpenVirtual(o, *v); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.m.Check(); err != nil {
			t.Error(err)
		}
		if err := w.m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := w.bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// key is the key of a short name, which named gives back.
func key(name string) kv.Key {
	return kv.Key{Hash: kv.Hash32(padded(name)), Model: "m", Rank: 0x01000100}
}

func padded(name string) (b [32]byte) {
	copy(b[:], name)
	return b
}

// keys is a list of keys named by one letter each.
func keys(names string) []kv.Key {
	list := make([]kv.Key, 0, len(names))
	for _, n := range names {
		list = append(list, key(string(n)))
	}
	return list
}

// named is the names of a list of keys, "-" for none.
func named(list []kv.Key) string {
	if len(list) == 0 {
		return "-"
	}
	var s strings.Builder
	for _, k := range list {
		s.WriteString(strings.TrimRight(string(k.Hash.Append(nil)), "\x00"))
	}
	return s.String()
}

func (w *world) reserve(names string, mode storage.Mode) storage.WriteLease {
	w.t.Helper()
	l, err := w.m.ReserveWrite(w.t.Context(), keys(names), w.layout, mode, storage.WriteOptions{Owner: "writer"})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// put stores objects filled with the first byte of their names.
func (w *world) put(names string) {
	w.t.Helper()
	l := w.reserve(names, storage.New)
	for i, b := range l.All() {
		fill(b, names[i])
	}
	l.Finish()
}

func fill(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}

// filledWith reports whether all of b is one byte.
func filledWith(b []byte, with byte) bool {
	for _, c := range b {
		if c != with {
			return false
		}
	}
	return len(b) > 0
}

func (w *world) prefetch(names string, o storage.PrefetchOptions) *storage.Prefetch {
	w.t.Helper()
	p, err := w.m.SubmitPrefetch(w.t.Context(), keys(names), w.layout, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// read claims the first n positions and checks their bytes.
func (w *world) read(p *storage.Prefetch, n int) storage.ReadLease {
	w.t.Helper()
	r, err := p.Read(w.t.Context(), storage.Select{Hi: n})
	if err != nil {
		w.t.Fatal(err)
	}
	got := 0
	for i, b := range r.All() {
		if name := named(p.Keys()[i : i+1]); !filledWith(b, name[0]) {
			w.t.Fatalf("object %s has foreign bytes", name)
		}
		got++
	}
	if got != n {
		w.t.Fatalf("read %d objects, want %d", got, n)
	}
	return r
}

// resident are those of the keys that a lookup finds.
func (w *world) resident(names string) string {
	w.t.Helper()
	p := w.prefetch(names, storage.PrefetchOptions{Policy: storage.Sparse, Warm: true, SkipL2: true})
	defer p.Release()
	r, _ := p.Status()
	var found []kv.Key
	for i, k := range p.Keys() {
		if r.Found.Has(i) {
			found = append(found, k)
		}
	}
	return named(found)
}

// after moves the time on.
func (w *world) after(d time.Duration) { w.v.RunUntil(w.v.Now().Add(d)) }

// events are the events since the last call, one text each.
func (w *world) events() []string {
	w.bus.Drain(w.m.Now())
	got := w.seen.lines
	w.seen.lines, w.seen.times = nil, nil
	return got
}

// expect compares the events since the last look, all of which must have the
// present time.
func (w *world) expect(want ...string) {
	w.t.Helper()
	w.bus.Drain(w.m.Now())
	for _, at := range w.seen.times {
		if !at.Equal(w.v.Now()) {
			w.t.Errorf("an event has the time %v, want that of the call, %v", at, w.v.Now())
		}
	}
	if diff := cmp.Diff(want, w.events()); diff != "" {
		w.t.Errorf("events (-want +got):\n%s", diff)
	}
}

// transcript writes down every event of l1 and storage.
type transcript struct {
	lines []string
	times []time.Time
}

func (*transcript) Name() string { return "transcript" }

func (r *transcript) Subscribe(s *eventbus.Subscription) {
	note(r, s, func(e l1.ReadReserved) string { return named(e.Keys) })
	note(r, s, func(e l1.ReadFinished) string { return named(e.Keys) + " " + string(e.Cause) })
	note(r, s, func(e l1.WriteReserved) string { return named(e.Keys) })
	note(r, s, func(e l1.WriteFinished) string { return named(e.Keys) + " " + string(e.Origin) })
	note(r, s, func(e l1.WriteFinishedAndReadReserved) string { return named(e.Keys) })
	note(r, s, func(e l1.WriteAborted) string { return named(e.Keys) + " " + string(e.Cause) })
	note(r, s, func(e l1.KeysEvicted) string {
		return fmt.Sprintf("%s %s %d %q", named(e.Keys), e.Cause, e.Bytes, e.Owner)
	})
	note(r, s, func(e l1.KeysAccessed) string { return named(e.Keys) })
	note(r, s, func(e l1.LeaseExpired) string {
		return fmt.Sprintf("%s %s %q %v", named(e.Keys), e.Kind, e.Owner, e.Age)
	})
	note(r, s, func(e storage.AllocationFailed) string { return named(e.Keys) + " " + e.During })
	note(r, s, func(e storage.ReadFailed) string {
		return fmt.Sprintf("%s %s %s %q", named(e.Keys), e.During, e.Reason, e.Detail)
	})
	note(r, s, func(e storage.ReadPrefetched) string { return named(e.SucceededKeys) + " " + named(e.FailedKeys) })
	note(r, s, func(e storage.ReadPrefetchedFinished) string {
		return named(e.SucceededKeys) + " " + named(e.FailedKeys) + " " + string(e.Cause)
	})
	note(r, s, func(e storage.WriteReserved) string { return named(e.SucceededKeys) + " " + named(e.FailedKeys) })
	note(r, s, func(e storage.WriteFinished) string { return named(e.SucceededKeys) + " " + named(e.FailedKeys) })
	note(r, s, func(e storage.L2StoreSubmitted) string {
		return fmt.Sprintf("%d/%d %s keys=%d bytes=%d", e.AdapterIndex, e.TaskID, e.L2Name, e.KeyCount, e.TotalBytes)
	})
	note(r, s, func(e storage.L2StoreCompleted) string {
		return fmt.Sprintf("%d/%d ok=%d failed=%d bytes=%d attempts=%d", e.AdapterIndex, e.TaskID, e.SucceededCount, e.FailedCount, e.BytesTransferred, e.Attempts)
	})
	note(r, s, func(e storage.L2StoreDropped) string {
		return fmt.Sprintf("%d keys=%d %s", e.AdapterIndex, e.KeyCount, e.Reason)
	})
	note(r, s, func(e storage.L2LookupSubmitted) string {
		return fmt.Sprintf("%d keys=%d adapters=%d", e.RequestID, e.KeyCount, e.AdapterCount)
	})
	note(r, s, func(e storage.L2LookupCompleted) string {
		return fmt.Sprintf("%d hits=%d", e.RequestID, e.PrefixHitCount)
	})
	note(r, s, func(e storage.L2LoadSubmitted) string {
		return fmt.Sprintf("%d keys=%d adapters=%d joined=%d", e.RequestID, e.KeyCount, e.AdapterCount, e.JoinedCount)
	})
	note(r, s, func(e storage.L2LoadCompleted) string {
		return fmt.Sprintf("%d loaded=%d failed=%d joined=%d", e.RequestID, e.LoadedCount, e.FailedCount, e.JoinedCount)
	})
	note(r, s, func(e storage.L2LoadTaskSubmitted) string {
		return fmt.Sprintf("%d: %d/%d keys=%d bytes=%d", e.RequestID, e.AdapterIndex, e.TaskID, e.KeyCount, e.TotalBytes)
	})
	note(r, s, func(e storage.L2LoadTaskCompleted) string {
		return fmt.Sprintf("%d: %d/%d %v ok=%d bytes=%d", e.RequestID, e.AdapterIndex, e.TaskID, e.Success, e.SucceededCount, e.BytesTransferred)
	})
	note(r, s, func(e storage.L2PrefetchFailed) string { return e.Reason + " " + named(e.Keys) })
	note(r, s, func(e storage.L2PrefetchDeadline) string {
		return fmt.Sprintf("%d %s %v of %v: %d/%d", e.RequestID, e.Phase, e.Elapsed, e.Budget, e.RetainedCount, e.MissedCount)
	})
	note(r, s, func(e storage.L2KeysEvicted) string {
		return fmt.Sprintf("%d keys=%d bytes=%d", e.AdapterIndex, e.KeyCount, e.Bytes)
	})
	note(r, s, func(e storage.L2AdapterState) string {
		return fmt.Sprintf("%d %s -> %s %s", e.AdapterIndex, e.From, e.To, e.Reason)
	})
	note(r, s, func(e storage.L2ObjectCorrupt) string {
		return fmt.Sprintf("%d %s %s", e.AdapterIndex, named(e.Keys), e.Check)
	})
	note(r, s, func(e storage.PrefetchResolved) string {
		return fmt.Sprintf("id=%d/%s total=%d l1=%d l2=%d prefix=%d %v",
			e.RequestID, e.ExternalRequestID, e.Total, e.L1Hits, e.L2Hits, e.PrefixLen, e.Misses.Map())
	})
}

func note[E eventbus.Event](r *transcript, s *eventbus.Subscription, text func(E) string) {
	eventbus.On(s, func(e E, at time.Time) {
		r.lines = append(r.lines, e.EventName()+" "+text(e))
		r.times = append(r.times, at)
	})
}
