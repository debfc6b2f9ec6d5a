package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const blockTokens = 512

// conversation is the public conversation trace: per request the keys of its full
// chunks of 512 tokens.
func conversation(t testing.TB, limit int) (requests [][]kv.Key, at []time.Duration) {
	t.Helper()
	f, err := os.Open("../internal/mooncake/testdata/conversation.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for r, err := range mooncake.Read(f, blockTokens) {
		if err != nil {
			t.Fatal(err)
		}
		n := r.InputLength / blockTokens
		keys := make([]kv.Key, n)
		for i := range keys {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:], r.HashIDs[i]*0x9e3779b97f4a7c15)
			binary.BigEndian.PutUint64(b[8:], r.HashIDs[i])
			h, err := kv.HashOf(b[:])
			if err != nil {
				t.Fatal(err)
			}
			keys[i] = kv.Key{Hash: h, Model: "conversation", Rank: 0x01000100}
		}
		requests = append(requests, keys)
		at = append(at, r.Timestamp)
		if len(requests) == limit {
			break
		}
	}
	return requests, at
}

func rawLayout(t testing.TB, n int64) kv.Layout {
	t.Helper()
	l, err := kv.RawLayout(n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve runs one request as the engine does: find, read, store the rest.
func serve(t testing.TB, m *storage.Manager, keys []kv.Key, layout kv.Layout) (hits int) {
	ctx := context.Background()
	p, err := m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	r, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read, err := p.Read(ctx, storage.Select{Hi: r.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	read.Finish()
	if r.Prefix < len(keys) {
		o := storage.WriteOptions{}
		if r.Prefix > 0 {
			o.After = keys[r.Prefix-1]
		}
		w, err := m.ReserveWrite(ctx, keys[r.Prefix:], layout, storage.New, o)
		if err != nil {
			t.Fatal(err)
		}
		w.Finish()
	}
	return r.Prefix
}

func TestREQ_S46_HitRatioOfTheConversationTrace(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("one goroutine, and too long under the race detector")
	}
	requests, _ := conversation(t, 0)
	total := 0
	for _, keys := range requests {
		total += len(keys)
	}
	if total != 276491 {
		t.Fatalf("the trace has %d full chunks, want 276491", total)
	}
	layout := rawLayout(t, 1<<20)
	for _, c := range []struct {
		chunks int64
		want   float64
	}{{1000, .047}, {2000, .058}, {5000, .124}, {10000, .224}, {20000, .306}, {50000, .372}, {1000000, .382}} {
		t.Run(fmt.Sprint(c.chunks), func(t *testing.T) {
			t.Parallel()
			m, _, err := storage.OpenVirtual(storage.Options{
				L1: l1.Options{Bytes: c.chunks * layout.Size(), NoBytes: true},
			}, storage.VirtualOptions{})
			if err != nil {
				t.Fatal(err)
			}
			hits := 0
			for _, keys := range requests {
				if len(keys) > 0 {
					hits += serve(t, m, keys, layout)
				}
			}
			ratio := float64(hits) / float64(total)
			t.Logf("%7d chunks: %.4f", c.chunks, ratio)
			if math.Abs(ratio-c.want) > 0.003 {
				t.Errorf("%d chunks: hit ratio %.4f, want %.3f ± 0.003", c.chunks, ratio, c.want)
			}
			if err := m.Check(); err != nil {
				t.Error(err)
			}
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// digest collects what was decided, in the order in which it was.
type digest struct{ h hash.Hash }

func (*digest) Name() string { return "digest" }

func (d *digest) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.KeysEvicted, at time.Time) {
		d.note("evicted "+string(e.Cause)+" "+e.Owner, at)
		for _, k := range e.Keys {
			d.h.Write([]byte(k.String()))
		}
	})
	eventbus.On(s, func(e l1.LeaseExpired, at time.Time) {
		d.note("expired "+string(e.Kind)+" "+e.Age.String(), at)
		for _, k := range e.Keys {
			d.h.Write([]byte(k.String()))
		}
	})
	eventbus.On(s, func(e storage.PrefetchResolved, at time.Time) {
		d.note("resolved", at)
		_ = binary.Write(d.h, binary.LittleEndian, []int64{int64(e.PrefixLen), int64(e.L1Hits), int64(e.Total)})
	})
	eventbus.On(s, func(e storage.WriteReserved, at time.Time) {
		d.note("reserved", at)
		_ = binary.Write(d.h, binary.LittleEndian, []int64{int64(len(e.SucceededKeys)), int64(len(e.FailedKeys))})
	})
}

func (d *digest) note(s string, at time.Time) {
	d.h.Write([]byte(s))
	_ = binary.Write(d.h, binary.LittleEndian, at.UnixNano())
}

// virtualRun replays a part of the trace in virtual time, in which some requests
// forget their leases.
func virtualRun(t *testing.T, eviction l1.Options) (sum string, expired int64) {
	t.Helper()
	requests, at := conversation(t, 1500)
	layout := rawLayout(t, 1<<20)
	bus := eventbus.New(eventbus.Options{Manual: true})
	d := &digest{h: sha256.New()}
	if _, err := bus.Subscribe(d); err != nil {
		t.Fatal(err)
	}
	eviction.Bytes, eviction.NoBytes, eviction.ReadTTL, eviction.WriteTTL = 2000*layout.Size(), true, 20*time.Second, 30*time.Second
	m, v, err := storage.OpenVirtual(storage.Options{L1: eviction, Bus: bus}, storage.VirtualOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	start := v.Now()
	var forgotten []func()
	for i, keys := range requests {
		if len(keys) == 0 {
			continue
		}
		v.At(start.Add(at[i]), func() {
			switch i % 10 {
			case 3: // looks up and goes away
				p, err := m.SubmitPrefetch(context.Background(), keys, layout, storage.PrefetchOptions{Owner: "forgets"})
				if err != nil {
					t.Fatal(err)
				}
				forgotten = append(forgotten, p.Release)
			case 7: // reserves and goes away
				w, err := m.ReserveWrite(context.Background(), keys, layout, storage.New, storage.WriteOptions{Owner: "forgets"})
				if err != nil {
					t.Fatal(err)
				}
				forgotten = append(forgotten, w.Abort)
			default:
				serve(t, m, keys, layout)
			}
		})
	}
	v.Run()
	v.RunUntil(v.Now().Add(time.Hour))
	expired = m.Stats().L1.LeasesExpired
	for _, f := range forgotten {
		f()
	}
	bus.Drain(v.Now())
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := bus.Close(context.Background()); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(d.h.Sum(nil)), expired
}

func TestREQ_S82_VirtualRunsAreEqual(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	seen := make(map[string]bool)
	for name, eviction := range map[string]l1.Options{
		"exact":     {},
		"watermark": {Mode: l1.ModeWatermark},
		"quotas":    {Mode: l1.ModeWatermark, Policy: "IsolatedLRU", Quotas: map[string]int64{"": 1000 << 20}},
	} {
		runtime.GOMAXPROCS(before)
		want, expired := virtualRun(t, eviction)
		if expired == 0 {
			t.Fatalf("%s: no lease expired: the run proves nothing about timers", name)
		}
		if seen[want] {
			t.Errorf("%s: the digest is that of another way to evict", name)
		}
		seen[want] = true
		for _, n := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(n)
			if got, _ := virtualRun(t, eviction); got != want {
				t.Errorf("%s, GOMAXPROCS %d: digest %s, want %s", name, n, got, want)
			}
		}
	}
}
