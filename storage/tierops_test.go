package storage_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S35: loads that do not fit together wait for their turn instead of losing hits.
func TestREQ_S35_LoadsWaitForBytes(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s}, func(o *storage.Options) { o.Prefetch.MaxBytes = 4 * objectBytes })
	const names = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN" // 20 times two
	s.keep(t, w.layout, names)
	done := 0
	for i := 0; i < len(names); i += 2 {
		p := w.prefetch(names[i:i+2], storage.PrefetchOptions{})
		w.v.When(p, func() {
			if r, _ := p.Status(); r.Prefix == 2 {
				done++
			}
			w.read(p, 2).Finish()
			p.Release()
		})
	}
	w.v.Run()
	if done != len(names)/2 {
		t.Errorf("%d of %d had all", done, len(names)/2)
	}
}

// REQ-S45: with IgnoreL1 everything comes from the tier.
func TestREQ_S45_IgnoreL1(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s}, func(o *storage.Options) { o.Prefetch.IgnoreL1 = true })
	w.put("ab")
	w.flush()
	p := w.prefetch("ab", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 2 || r.L1 != 0 || s.moved["load"] != 2 {
		t.Errorf("got %+v, %d objects loaded", r, s.moved["load"])
	}
	w.read(p, 2).Finish()
	p.Release()
}

// stripes puts each object on one tier, by the first byte of its hash.
type stripes struct {
	storage.StorePolicy
	storage.PrefetchPolicy
}

func stripe(k kv.Key, tiers int) uint64 { return 1 << (int(k.Hash.Append(nil)[0]) % tiers) }

func (stripes) Targets(k kv.Key, tiers int) uint64 { return stripe(k, tiers) }
func (stripes) Ask(k kv.Key, tiers int) uint64     { return stripe(k, tiers) }

// REQ-S61: with a policy that stripes, each key is stored and asked for once.
func TestREQ_S61_Striping(t *testing.T) {
	a, b := newShelf(), newShelf()
	policy := stripes{storage.StoreDefault(), storage.PrefetchDefault()}
	w := newTierWorld(t, 8, []*shelf{a, b}, func(o *storage.Options) { o.Store.Policy, o.Prefetch.Policy = policy, policy })
	w.put("abcd")
	w.flush()
	if a.has() != "bd" || b.has() != "ac" {
		t.Errorf("stored %s and %s", a.has(), b.has())
	}
	w.m.Clear(true)
	p := w.prefetch("abcd", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 4 || a.moved["lookup"] != 2 || b.moved["lookup"] != 2 {
		t.Errorf("got %+v; asked for %d and %d", r, a.moved["lookup"], b.moved["lookup"])
	}
	p.Release()
}

// REQ-S73: no call of the host waits for a tier that hangs.
func TestREQ_S73_NothingWaitsForATier(t *testing.T) {
	s := newShelf()
	s.before = func(ctx context.Context, _ string, _ []kv.Key) error {
		<-ctx.Done()
		return ctx.Err()
	}
	live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
		began := time.Now()
		for range 100 {
			w.put("abcd")
			p := w.prefetch("abcdxyz", storage.PrefetchOptions{})
			p.Release()
			w.m.Clear(false)
		}
		w.m.Stats()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	}, func(o *storage.Options) { o.DrainTimeout = time.Second })
}

// journal is a log handler that keeps messages.
type journal struct {
	mu    *sync.Mutex
	lines *[]string
}

func (journal) Enabled(context.Context, slog.Level) bool { return true }
func (j journal) WithAttrs([]slog.Attr) slog.Handler     { return j }
func (j journal) WithGroup(string) slog.Handler          { return j }
func (j journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	*j.lines = append(*j.lines, line)
	return nil
}

// REQ-S80: a call that hangs is named, and again each time its age has doubled.
func TestREQ_S80_StuckCallsAreNamed(t *testing.T) {
	s := newShelf()
	var hold chan struct{} // of the bubble
	s.before = func(_ context.Context, op string, _ []kv.Key) error {
		if op == "load" {
			<-hold
		}
		return nil
	}
	var lines []string
	log := slog.New(journal{&sync.Mutex{}, &lines})
	live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
		hold = make(chan struct{})
		s.keep(t, w.layout, "ab")
		p := w.prefetch("ab", storage.PrefetchOptions{})
		pass(130 * time.Second)
		if st := w.m.Stats().Tiers[0]; st.Healthy || st.OldestCall < 2*time.Minute {
			t.Errorf("got %+v", st)
		}
		close(hold)
		p.Release()
		pass(time.Second)
	}, func(o *storage.Options) { o.Logger = log })
	var got []string
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "a call of an adapter of the cache takes long "); ok {
			got = append(got, rest)
		}
	}
	want := []string{
		"operation=load keys=1 bytes=4096 age=30s given_up=false",
		"operation=load keys=1 bytes=4096 age=1m0s given_up=true",
		"operation=load keys=1 bytes=4096 age=2m0s given_up=true",
	}
	for _, line := range want {
		n := 0
		for _, l := range got {
			if l == line {
				n++
			}
		}
		if n == 0 {
			t.Errorf("%q is missing in\n%s", line, strings.Join(got, "\n"))
		}
	}
}

// Deleting and listing: all tiers or one, pinned keys stay, and errors are results.
func TestDeleteAndListTiers(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 8, []*shelf{a, b})
	w.put("abc")
	w.flush()
	got, err := w.m.DeleteL2(t.Context(), keys("a"), storage.AllTiers)
	if err != nil || len(got) != 2 || got[0].Err != nil || got[1].Name != "shelf1" || a.has()+b.has() != "bcbc" {
		t.Errorf("got %+v, %v; left %s and %s", got, err, a.has(), b.has())
	}
	b.before = func(context.Context, string, []kv.Key) error { return l2.ErrIO }
	got, err = w.m.DeleteL2(t.Context(), keys("b"), storage.AllTiers)
	if err != nil || got[0].Err != nil || !errors.Is(got[1].Err, l2.ErrIO) || a.has() != "c" {
		t.Errorf("got %+v, %v; left %s", got, err, a.has())
	}
	if w.resident("abc") != "abc" {
		t.Error("copies in L1 went too")
	}
	if _, err := w.m.DeleteL2(t.Context(), keys("b"), 7); err == nil {
		t.Error("there is no tier 7")
	}
	if _, err := w.m.ListL2(t.Context(), 0, l2.ListQuery{PageSize: 10}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("listing: %v", err)
	}
	if _, err := w.m.ListL2(t.Context(), 0, l2.ListQuery{}); err == nil {
		t.Error("a page of nothing")
	}
	none := newWorld(t, 8)
	if _, err := none.m.DeleteL2(t.Context(), keys("a"), storage.AllTiers); !errors.Is(err, storage.ErrNoTiers) {
		t.Errorf("without tiers: %v", err)
	}
}

// Policies go by their names.
func TestPolicyNames(t *testing.T) {
	p := storage.StorePolicies()
	if _, err := p.New("skip_l1"); err != nil {
		t.Error(err)
	}
	if _, err := p.New("Default"); !errors.Is(err, storage.ErrPolicyName) || !strings.Contains(err.Error(), "default, skip_l1") {
		t.Errorf("got %v", err)
	}
	if err := p.Register("default", storage.StoreDefault); !errors.Is(err, storage.ErrPolicyName) {
		t.Errorf("got %v", err)
	}
}

// Options that cannot take effect are refused, all at once.
func TestTierOptions(t *testing.T) {
	o := storage.Options{
		L1: l1Bytes(8), Store: storage.StoreOptions{MaxInflight: -1},
		Tiers: []storage.Tier{{}, {Name: "x", Adapter: newShelf(), Settings: l2.Settings{Workers: -1}}},
	}
	o.Prefetch.Timeout = time.Hour
	err := o.Validate()
	if err == nil {
		t.Fatal("it is valid")
	}
	for _, want := range []string{"Tiers[0]: Name", "Tiers[0]: Adapter", "Tiers[1]: l2: settings: Workers", "Store.MaxInflight", "Prefetch.Timeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if err := (storage.Options{L1: l1Bytes(8), Store: storage.StoreOptions{Policy: storage.StoreSkipL1()}}).Validate(); err == nil {
		t.Error("skip_l1 without a tier is valid")
	}
}

// REQ-S59: an adapter whose stores always fail is unhealthy within a minute, and well
// again when they do not.
func TestREQ_S59_FailingStoresShow(t *testing.T) {
	s := newShelf()
	s.item = func(op string, it *l2.Item) {
		if op == "store" {
			it.Err = l2.ErrIO
		}
	}
	w := newTierWorld(t, 32, []*shelf{s})
	w.put("a")
	w.flush()
	if st := w.m.Stats().Tiers[0]; st.Healthy || st.FailuresByReason["io"] != 1 || st.Retries != 2 {
		t.Errorf("got %+v", st)
	}
	s.item = nil
	w.put("b")
	w.flush()
	if st := w.m.Stats().Tiers[0]; !st.Healthy {
		t.Errorf("got %+v", st)
	}
}

// A prefetch in a hurry does not open the breaker of a store that is only slower.
func TestHurryIsNoOutage(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 32, []*shelf{s})
	s.keep(t, w.layout, "a")
	for range 10 {
		p := w.prefetch("a", storage.PrefetchOptions{Deadline: 100 * time.Microsecond})
		if r := w.wait(p); r.Miss[0] != storage.MissDeadline {
			t.Errorf("got %+v", r)
		}
		p.Release()
	}
	w.after(time.Second)
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed || st.Pins != 0 {
		t.Errorf("got %+v", st)
	}
}

// Quotas that the options name reach the tiers.
func TestTierQuotasOfOptions(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 64, []*shelf{s}, capped(16, &l2.Eviction{
		Policy: l2.PolicyIsolatedLRU, Watermark: 1, Ratio: 1, DefaultQuota: 100 * storedBytes(),
	}), func(o *storage.Options) {
		o.L1.Policy, o.L1.Quotas = "IsolatedLRU", map[string]int64{"t1": 0, "t2": 1 << 20}
	})
	k := key("a")
	k.Salt = "t2"
	l, err := w.m.ReserveWrite(t.Context(), []kv.Key{k}, w.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.Finish()
	w.flush()
	w.v.Run()
	if got := w.m.Stats().Tiers[0].BytesBySalt["t2"]; got != storedBytes() {
		t.Errorf("%d bytes", got)
	}
}
