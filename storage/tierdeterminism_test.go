package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// replayTiers runs prompts that share prefixes through an L1 without memory and two
// models of tiers, and returns a digest of everything that was published and found.
func replayTiers(t *testing.T, seed uint64) (digest string, hits int) {
	t.Helper()
	bus := eventbus.New(eventbus.Options{Manual: true})
	var seen transcript
	if _, err := bus.Subscribe(&seen); err != nil {
		t.Fatal(err)
	}
	layout := rawLayout(t, objectBytes)
	fs, _ := storage.ModelOf("fs")
	s3, _ := storage.ModelOf("s3")
	m, v, err := storage.OpenVirtual(storage.Options{
		L1: l1.Options{Bytes: 64 * objectBytes, NoBytes: true}, Bus: bus,
		Tiers: []storage.Tier{
			{Name: "fs", Settings: l2.Settings{Workers: 4, Capacity: 150 * objectBytes}},
			{Name: "s3", Settings: l2.Settings{Workers: 2, Capacity: 300 * objectBytes, Eviction: &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 0.8, Ratio: 0.2}}},
		},
	}, storage.VirtualOptions{Seed: seed, Models: []storage.Model{fs, s3}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	var out strings.Builder
	at := v.Now()
	for n := range 400 {
		at = at.Add(time.Duration(rng.IntN(8000)) * time.Microsecond)
		prompt := make([]kv.Key, 4+rng.IntN(12))
		family := rng.IntN(30)
		for i := range prompt {
			prompt[i] = key(fmt.Sprintf("%d-%d", family, i))
			if i >= 4 {
				prompt[i] = key(fmt.Sprintf("%d-%d-%d", family, rng.IntN(2), i))
			}
		}
		v.At(at, func() {
			p, err := m.SubmitPrefetch(context.Background(), prompt, layout, storage.PrefetchOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			v.When(p, func() {
				r, _ := p.Status()
				hits += r.Prefix
				fmt.Fprintf(&out, "%d %d %d %v\n", n, r.Prefix, r.L1, r.Miss)
				if r.Prefix > 0 {
					l, err := p.Read(context.Background(), storage.Select{Hi: r.Prefix})
					if err != nil {
						t.Error(err)
					}
					l.Finish()
				}
				p.Release()
				w, err := m.ReserveWrite(context.Background(), prompt[r.Prefix:], layout, storage.New, storage.WriteOptions{})
				if r.Prefix < len(prompt) && err != nil {
					t.Error(err)
				}
				w.Finish()
			})
		})
	}
	v.Run()
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
	bus.Drain(v.Now())
	for i, line := range seen.lines {
		fmt.Fprintln(&out, seen.times[i].UnixNano(), line)
	}
	sum := sha256.Sum256([]byte(out.String()))
	return hex.EncodeToString(sum[:]), hits
}

// REQ-S82: a run in virtual time is a function of its inputs, tiers included.
func TestREQ_S82_DeterministicWithTiers(t *testing.T) {
	first, hits := replayTiers(t, 7)
	if hits == 0 {
		t.Fatal("nothing was ever found")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(procs)
		if again, _ := replayTiers(t, 7); again != first {
			t.Errorf("another run on %d processors differs", procs)
		}
	}
	if other, _ := replayTiers(t, 8); other == first {
		t.Error("the seed has no effect")
	}
}
