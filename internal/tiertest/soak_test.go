package tiertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// soak is a run.
type soak struct {
	t       *testing.T
	rig     *rig
	rng     *rand.Rand
	layouts []kv.Layout
	tiers   int // of the present life

	turns    atomic.Uint64
	verified atomic.Int64 // objects
	bytes    atomic.Int64
	stored   atomic.Int64
	mu       sync.Mutex
	counts   map[string]int
	faults   map[string]int
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *soak) fault(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[name]++
}

// TestREQ_S84_TierSoak runs a workload over L1 and two or three tiers that fail in all
// ways at random, through many managers that are closed in the middle and opened
// again over what the last one has left. Every byte that is read is compared; after
// each manager nothing is leased, pinned or under way, and no goroutine and no file is
// left.
//
// SEED chooses what happens, DURATION how long. See make soak-tiers.
func TestREQ_S84_TierSoak(t *testing.T) {
	leak.Check(t)
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = 3
	}
	limit := 4 * time.Second
	if text := os.Getenv("DURATION"); text != "" {
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		limit = time.Second
	}
	s := &soak{
		t: t, rig: newRig(t), rng: rand.New(rand.NewPCG(seed, 84)), counts: map[string]int{}, faults: map[string]int{},
		layouts: []kv.Layout{
			rawLayout(t, 4096), newLayout(t, 2048, kv.BFloat16), rawLayout(t, 10_007), newLayout(t, 5001, kv.Float32, kv.BFloat16), rawLayout(t, 1), rawLayout(t, 8192),
		},
	}
	began := time.Now()
	base := opened(t)
	for n := 0; !t.Failed() && (n < 3 || time.Since(began) < limit); n++ {
		s.life(n, base)
	}
	s.report(seed, time.Since(began))
}

// report prints what was done, and fails if that proves nothing.
func (s *soak) report(seed uint64, took time.Duration) {
	list := func(m map[string]int) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
		}
		return strings.Join(parts, ", ")
	}
	s.t.Logf("seed %d, %v: %d operations (%s)", seed, took.Round(time.Millisecond), s.turns.Load(), list(s.counts))
	s.t.Logf("faults: %s", list(s.faults))
	s.t.Logf("%d objects stored; %d reads verified, %d bytes", s.stored.Load(), s.verified.Load(), s.bytes.Load())
	if s.counts["objects from tiers"] == 0 || s.verified.Load() == 0 || len(s.faults) < 5 {
		s.t.Error("the run proves nothing")
	}
}

// life is one manager: it is opened over what the last one has left, used while things
// fail, and closed, at rest or in the middle of everything.
func (s *soak) life(n int, base int) {
	t, rng := s.t, s.rng
	rt := newJumping()
	tiers := s.rig.tiers(rng)
	s.tiers = len(tiers)
	events := newPairs()
	bus := eventbus.New(eventbus.Options{Queue: 1 << 18})
	if _, err := bus.Subscribe(events); err != nil {
		t.Fatal(err)
	}
	o := s.options(rng, tiers)
	o.Bus, o.Runtime = bus, rt
	m, err := storage.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("life %d, tiers %s", n, names(tiers))
	s.count("managers")
	if rng.IntN(3) == 0 {
		counted(t, name, m)
	}

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 3 + rng.IntN(3) {
		c := &client{s: s, m: m, ttl: o.L1.ReadTTL, rng: rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))}
		clients.Go(func() { c.run(ctx) })
	}
	c := &chaos{s: s, rng: rng, rt: rt, tiers: tiers, most: 1 + rng.IntN(5), every: time.Duration(one(rng, 10, 40, 100)) * time.Millisecond}
	until, cancel := context.WithTimeout(ctx, time.Duration(200+rng.IntN(700))*time.Millisecond)
	c.run(until)
	cancel()

	quiet := rng.IntN(2) == 0 && !slices.ContainsFunc(tiers, func(t *tier) bool { return t.deaf })
	if quiet {
		stop()
		clients.Wait()
		c.end()
		flush, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := m.Flush(flush); err != nil {
			t.Errorf("%s: what was stored does not reach the tiers: %v; %+v", name, err, m.Stats().Tiers)
		}
		cancel()
		s.calm(name, m, true)
	} else {
		s.count("managers closed in the middle")
	}
	closing, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(500))*time.Millisecond)
	err = m.Close(closing)
	cancel()
	var held *l1.LeakError
	switch {
	case err == nil, !quiet && (errors.As(err, &held) || errors.Is(err, storage.ErrTierBusy)):
	default:
		t.Errorf("%s: Close: %v", name, err)
	}
	c.end()
	stop()
	clients.Wait()
	for _, tier := range tiers {
		if err := tier.Adapter.Close(); err != nil { // again, or for the first time if calls were stuck
			t.Errorf("%s: closing %s: %v", name, tier.kind, err)
		}
	}
	rt.Close()
	s.calm(name, m, false)
	if err := bus.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if bus.Stats().Dropped == 0 {
		events.check(t, name)
	}
	s.nothingOpen(name, base)
}

// options are random ones.
func (s *soak) options(rng *rand.Rand, tiers []*tier) storage.Options {
	o := storage.Options{
		L1: l1.Options{
			Bytes: one(rng, int64(256<<10), 1<<20, 4<<20), Align: one(rng, 64, 512, 4096), ReadTTL: 2 * time.Second, WriteTTL: 2 * time.Second,
			Policy: one(rng, "LRU", "IsolatedLRU", "RecencyFrequency"),
		},
		Store: storage.StoreOptions{MaxBacklog: one(rng, 8, 200, 0)},
		Prefetch: storage.PrefetchControl{
			MaxInflight: one(rng, 0, 1, 3), Timeout: time.Duration(100+rng.IntN(900)) * time.Millisecond, IgnoreL1: rng.IntN(8) == 0,
		},
		DrainTimeout: one(rng, -1, time.Millisecond, 200*time.Millisecond),
	}
	if rng.IntN(4) == 0 {
		o.L1.Mode = l1.ModeWatermark
	}
	if rng.IntN(3) == 0 {
		o.Prefetch.Policy = storage.PrefetchRetain()
	}
	if rng.IntN(4) == 0 {
		o.Store.Policy = storage.StoreSkipL1()
	}
	for _, t := range tiers {
		o.Tiers = append(o.Tiers, t.Tier)
	}
	return o
}

func names(tiers []*tier) string {
	var list []string
	for _, t := range tiers {
		name := t.kind
		if t.Settings.Serde != nil {
			name += "+zstd"
		}
		if t.Adapter != t.faulty {
			name += "+fault_inject"
		}
		list = append(list, name)
	}
	return strings.Join(list, ", ")
}
