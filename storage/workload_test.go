package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
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
	for _, c := range []struct {
		chunks int64
		want   map[string]float64
	}{
		{1000, map[string]float64{"LRU": .047, "RecencyFrequency": .083}},
		{2000, map[string]float64{"LRU": .058, "RecencyFrequency": .113}},
		{5000, map[string]float64{"LRU": .124, "RecencyFrequency": .181}},
		{10000, map[string]float64{"LRU": .224, "RecencyFrequency": .246}},
		{20000, map[string]float64{"LRU": .306, "RecencyFrequency": .317}},
		{50000, map[string]float64{"LRU": .372, "RecencyFrequency": .372}},
		{1000000, map[string]float64{"LRU": .382}},
	} {
		for policy, want := range c.want {
			t.Run(fmt.Sprint(policy, c.chunks), func(t *testing.T) {
				t.Parallel()
				ratio := hitRatio(t, requests, c.chunks, policy)
				t.Logf("%s, %7d chunks: %.4f", policy, c.chunks, ratio)
				if math.Abs(ratio-want) > 0.003 {
					t.Errorf("%s, %d chunks: hit ratio %.4f, want %.3f ± 0.003", policy, c.chunks, ratio, want)
				}
			})
		}
	}
}

// hitRatio is the share of chunks that are found, one request after the other, in an
// L1 of so many chunks.
func hitRatio(t *testing.T, requests [][]kv.Key, chunks int64, policy string) float64 {
	t.Helper()
	layout := rawLayout(t, 1<<20)
	m, _, err := storage.OpenVirtual(storage.Options{
		L1: l1.Options{Bytes: chunks * layout.Size(), NoBytes: true, Policy: policy},
	}, storage.VirtualOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hits, total := 0, 0
	for _, keys := range requests {
		if len(keys) > 0 {
			hits += serve(t, m, keys, layout)
			total += len(keys)
		}
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
	return float64(hits) / float64(total)
}

// A policy that is offered is nowhere worse than LRU by more than 0.002: also not for
// other shapes of traffic than the one that it was made for.
func TestRecencyFrequencyIsNeverMuchWorseThanLRU(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("one goroutine, and too long under the race detector")
	}
	for name, shape := range map[string]func(*rand.Rand) func() []int{
		"conversations": conversations,
		"documents":     documents,
		"scan":          scan,
		"drift":         drift,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests [][]kv.Key
			next := shape(rand.New(rand.NewPCG(11, 13)))
			for range 6000 {
				requests = append(requests, promptKeys(t, next()))
			}
			for _, chunks := range []int64{200, 1000, 4000} {
				lru, score := hitRatio(t, requests, chunks, "LRU"), hitRatio(t, requests, chunks, "RecencyFrequency")
				t.Logf("%5d chunks: LRU %.4f, RecencyFrequency %.4f", chunks, lru, score)
				if score < lru-0.002 {
					t.Errorf("%d chunks: %.4f, LRU has %.4f", chunks, score, lru)
				}
			}
		})
	}
}

// promptKeys are the keys of a prompt of numbered pieces: a chunk is named by all
// pieces up to it.
func promptKeys(t *testing.T, pieces []int) []kv.Key {
	t.Helper()
	keys := make([]kv.Key, len(pieces))
	h := sha256.New()
	for i, p := range pieces {
		_ = binary.Write(h, binary.BigEndian, int64(p))
		hash, err := kv.HashOf(h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = kv.Key{Hash: hash, Model: "shapes", Rank: 0x01000100}
	}
	return keys
}

// fresh are n pieces that no other prompt has.
func fresh(r *rand.Rand, n int) []int {
	pieces := make([]int, n)
	for i := range pieces {
		pieces[i] = int(r.Int64())
	}
	return pieces
}

// conversations: one of four shared beginnings, and turns that each add to the one
// before; 300 people at a time.
func conversations(r *rand.Rand) func() []int {
	people := make([][]int, 300)
	return func() []int {
		p := r.IntN(len(people))
		if people[p] == nil || len(people[p]) > 60 || r.IntN(8) == 0 {
			people[p] = []int{r.IntN(4), -1, -2, -3}
		}
		people[p] = append(people[p], fresh(r, 1+r.IntN(8))...)
		return people[p]
	}
}

// documents: questions about 400 documents, some of which are asked about often.
func documents(r *rand.Rand) func() []int {
	popular := rand.NewZipf(r, 1.1, 4, 399)
	return func() []int {
		d := int(popular.Uint64())
		doc := make([]int, 8+d%40)
		for i := range doc {
			doc[i] = d*1000 + i
		}
		return append(doc, fresh(r, 1)...)
	}
}

// scan: a few prompts that come back, among many that never do.
func scan(r *rand.Rand) func() []int {
	return func() []int {
		if r.IntN(4) == 0 {
			return documents(r)()
		}
		return fresh(r, 30)
	}
}

// drift: what is popular changes, and what was popular never comes back.
func drift(r *rand.Rand) func() []int {
	n := 0
	return func() []int {
		n++
		d := n/40 + r.IntN(20)
		doc := make([]int, 20)
		for i := range doc {
			doc[i] = d*1000 + i
		}
		return doc
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
		"score":     {Policy: "RecencyFrequency"},
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
