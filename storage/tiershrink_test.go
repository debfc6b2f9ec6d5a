package storage_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// limited is a shelf whose room depends on others.
type limited struct {
	*shelf
	limit atomic.Int64
}

func (l *limited) Limit(int64) int64 { return l.limit.Load() }

// REQ-S55: a store that may hold less than before shrinks, while it is busy, and no
// store takes it above its new limit.
func TestREQ_S55_LimitFallsUnderLoad(t *testing.T) {
	for _, e := range []*l2.Eviction{nil, {Policy: l2.PolicyLRU, Watermark: 0.9, Ratio: 0.1}} {
		s := &limited{shelf: newShelf()}
		s.limit.Store(16 * storedBytes())
		lowered, over := false, int64(0)
		s.item = func(op string, _ *l2.Item) {
			if op == "store" && lowered {
				over = max(over, s.bytes()+storedBytes()-s.limit.Load())
			}
		}
		v := storage.VirtualOptions{}
		w := openWorld(t, 64, &v, func(o *storage.Options) {
			withTiers(&v, s.shelf)(o)
			o.Tiers[0].Adapter, o.Tiers[0].Settings.Eviction = s, e
		})
		w.put("abcdefghijklmn")
		w.flush()
		w.v.Run()
		p := w.prefetch("ab", storage.PrefetchOptions{})
		w.put("opqr") // on their way
		w.after(500 * time.Microsecond)
		s.limit.Store(6 * storedBytes())
		w.flush() // now it is known
		w.v.Run()
		st := w.m.Stats().Tiers[0]
		if st.UsedBytes > s.limit.Load() || st.UsedBytes != s.bytes() || st.Objects < 4 {
			t.Errorf("%+v: %d objects of %d bytes are counted, %d are there, the limit is %d", e, st.Objects, st.UsedBytes, s.bytes(), s.limit.Load())
		}
		lowered = true
		w.put("stuvwxyz")
		w.flush()
		w.v.Run()
		if over > 0 {
			t.Errorf("%+v: %d bytes above the limit", e, over)
		}
		if !strings.Contains(s.has(), "s") {
			t.Errorf("%+v: the tier has %s", e, s.has())
		}
		p.Release()
	}
}

// REQ-S55: that a disk has less room than its tier was promised, or none, is said in the
// log, and not again and again.
func TestREQ_S55_LackOfRoomIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := &limited{shelf: newShelf()}
	v := storage.VirtualOptions{}
	w := openWorld(t, 64, &v, withTiers(&v, s.shelf), capped(16, nil), func(o *storage.Options) {
		o.Tiers[0].Adapter = s
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	names, warnings := "abcdefghijklmnop", 0
	for _, step := range []struct {
		limit int64 // objects
		after time.Duration
		want  string // what is said now
	}{
		{limit: 16},
		{limit: 15}, // what quarantine takes, or so
		{limit: 8, want: "less than its capacity"},
		{limit: 7},
		{limit: 0, want: "no room"},
		{limit: 0},
		{limit: 16, after: 2 * time.Second}, // a store that is refused asks again
		{limit: 8, after: 11 * time.Minute, want: "less than its capacity"},
	} {
		s.limit.Store(step.limit * storedBytes())
		w.after(step.after)
		for range 2 { // the first one hears of the limit
			w.put(names[:1])
			names = names[1:]
			w.flush()
			w.v.Run()
		}
		if step.want != "" {
			warnings++
		}
		if got := strings.Count(log.String(), `level=WARN msg="a tier of the cache has `); got != warnings || !strings.Contains(log.String(), step.want) {
			t.Fatalf("limit %d: %d warnings, want %d:\n%s", step.limit, got, warnings, log.String())
		}
		if st := w.m.Stats().Tiers[0]; st.Full != (step.limit == 0) || (st.CapacityBytes == 0) != st.Full {
			t.Errorf("limit %d: Full is %v, the capacity %d", step.limit, st.Full, st.CapacityBytes)
		}
	}
}

// REQ-S47: a quota that is lowered while its tenant's objects are stored, loaded and
// evicted takes effect within a second.
func TestREQ_S47_QuotaFallsUnderLoad(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 64, []*shelf{s}, capped(24, &l2.Eviction{
		Policy: l2.PolicyIsolatedLRU, Watermark: 1, Ratio: 0.2, DefaultQuota: 100 * storedBytes(),
	}))
	theirs := func(names string) []storage.Key {
		list := keys(names)
		for i := range list {
			list[i].Salt = "t1"
		}
		return list
	}
	if err := w.m.SetQuota("t1", 20*storedBytes()); err != nil {
		t.Fatal(err)
	}
	w.putKeys(theirs("abcdefghijklmnop"))
	w.flush()
	w.m.Clear(false)
	p, err := w.m.SubmitPrefetch(t.Context(), theirs("abcd"), w.layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.putKeys(theirs("qrst"))
	w.put("xyz")
	w.after(1500 * time.Microsecond) // loads and stores are on their way
	for _, n := range []int64{8, 4} {
		if err := w.m.SetQuota("t1", n*storedBytes()); err != nil {
			t.Fatal(err)
		}
		w.after(500 * time.Microsecond)
	}
	if r := w.wait(p); r.Prefix != 4 {
		t.Errorf("the prefetch: %+v", r)
	}
	p.Release()
	w.after(time.Second)
	st := w.m.Stats().Tiers[0]
	if got := st.BytesBySalt["t1"]; got > 4*storedBytes() || got == 0 {
		t.Errorf("the tenant has %d objects, its quota is 4", got/storedBytes())
	}
	if st.BytesBySalt[""] != 3*storedBytes() {
		t.Errorf("the others have %d objects of 3", st.BytesBySalt[""]/storedBytes())
	}
}
