package tiertest

import (
	"context"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fault"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/l2/s3"
	"github.com/lmcache-go/lmcache/l2/zstd"
	"github.com/lmcache-go/lmcache/storage"
)

// Kinds of stores.
const (
	inMemory = "mem"
	onDisk   = "fs"
	onRedis  = "resp"
	onS3     = "s3"
)

// rig is what outlives managers: memory, a folder and servers.
type rig struct {
	t     *testing.T
	kept  mem.Store
	other mem.Store
	disk  *disk
	redis *servertest.Server // nil: it is not installed
	s3    *servertest.Server // the same
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, disk: newDisk(t.TempDir())}
	if _, err := exec.LookPath("redis-server"); err == nil {
		r.redis = servertest.Redis(t)
	}
	if _, err := exec.LookPath("versitygw"); err == nil {
		r.s3 = servertest.S3(t, "")
	}
	return r
}

// kinds are those that this machine has.
func (r *rig) kinds() []string {
	kinds := []string{inMemory, inMemory, onDisk, onDisk}
	if r.redis != nil {
		kinds = append(kinds, onRedis)
	}
	if r.s3 != nil {
		kinds = append(kinds, onS3)
	}
	return kinds
}

// s3Options are those of the server.
func s3Options(addr string) s3.Options {
	return s3.Options{
		Endpoint: addr, Region: servertest.S3Region, PathStyle: true, Bucket: servertest.S3Bucket, NoTLS: true,
		AccessKey: servertest.S3AccessKey, SecretKey: servertest.S3SecretKey, RequestTimeout: time.Second,
	}
}

// open opens the adapter of a store; n tells stores of one kind apart.
func (r *rig) open(kind string, n int, rng *rand.Rand, capacity int64) (a l2.Adapter, err error) {
	switch kind {
	case inMemory:
		o := mem.Options{Capacity: capacity, Store: &r.kept}
		if n > 0 {
			o.Store = &r.other
		}
		return mem.Open(o)
	case onDisk:
		o := l2fs.Options{
			BasePath: r.disk.dir(n), DirectIO: rng.IntN(2) == 0, MinFree: -1, MaxBytes: capacity, System: r.disk.system(),
			Sync: one(rng, l2fs.SyncNone, l2fs.SyncNone, l2fs.SyncFile, l2fs.SyncFileAndDir), ReadAhead: one(rng, int64(0), 4096),
		}
		if rng.IntN(3) == 0 {
			o.TempDir = "tmp"
		}
		return l2fs.Open(context.Background(), o)
	case onRedis:
		return resp.Open(resp.Options{
			Addrs: []string{r.redis.Addr}, RequestTimeout: time.Second, ConnectTimeout: time.Second, Connections: 4,
		})
	default:
		return s3.Open(s3Options(r.s3.Addr))
	}
}

// tier is one tier of a manager.
type tier struct {
	storage.Tier

	kind   string
	n      int
	faulty *l2test.Faulty
	deaf   bool // some calls go on for a minute, whatever is done
}

// tiers opens two or three tiers that differ, with settings that react fast.
func (r *rig) tiers(rng *rand.Rand) []*tier {
	r.t.Helper()
	kinds := r.kinds()
	rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	used := map[string]int{}
	var list []*tier
	for _, kind := range kinds[:2+rng.IntN(2)] {
		capacity := int64(1+rng.IntN(40)) * 200_000
		a, err := r.open(kind, used[kind], rng, capacity)
		if err != nil {
			r.t.Fatal(err)
		}
		t := &tier{kind: kind, n: used[kind], faulty: l2test.NewFaulty(a)}
		used[kind]++
		t.Name, t.Adapter = kind, t.faulty
		t.settings(rng, capacity)
		if rng.IntN(3) == 0 {
			if err := t.inject(rng); err != nil {
				r.t.Fatal(err)
			}
		}
		if rng.IntN(4) == 0 {
			if t.Settings.Serde, err = zstd.New(zstd.Options{Workers: 2}); err != nil {
				r.t.Fatal(err)
			}
			t.Settings.SerdeWorkers = 2
		}
		list = append(list, t)
	}
	return list
}

func (t *tier) settings(rng *rand.Rand, capacity int64) {
	const ms = time.Millisecond
	t.Settings = l2.Settings{
		Type: t.kind, Workers: 1 + rng.IntN(4), PerOpWorkers: 1 + rng.IntN(6), Capacity: capacity,
		Timeouts:     l2.Timeouts{Store: 200 * ms, Load: 200 * ms, Delete: 200 * ms, Lookup: 100 * ms},
		Breaker:      l2.Breaker{Failures: 3, Cooldown: 10 * ms, MaxCooldown: 40 * ms},
		Retry:        l2.Retry{Attempts: 3, Backoff: 2 * ms, Factor: 2},
		NoStartProbe: rng.IntN(2) == 0,
	}
	switch rng.IntN(4) {
	case 0:
		t.Settings.Eviction = &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 0.7, Ratio: 0.2}
	case 1:
		t.Settings.Eviction = &l2.Eviction{Policy: l2.PolicyIsolatedLRU, Watermark: 0.7, Ratio: 0.5, DefaultQuota: capacity / 2}
	case 2:
		t.Settings.Eviction = &l2.Eviction{Policy: l2.PolicyNoop, Watermark: 0.7, Ratio: 0.2}
	default:
	}
}

// inject puts fault_inject around the tier: what it meets is a function of the key.
func (t *tier) inject(rng *rand.Rand) error {
	rate := func() float64 {
		if rng.IntN(3) > 0 {
			return 0
		}
		return float64(rng.IntN(50)) / 1000
	}
	o := fault.Options{
		Seed: rng.Uint64(), Rate: rate(), StoreErrorRate: rate(), LookupErrorRate: rate(), CorruptRate: rate(), ShortReadRate: rate(),
		Latency: one(rng, 0, 0, time.Millisecond),
	}
	switch rng.IntN(4) {
	case 0:
		o.HangRate = .01
	case 1:
		o.IgnoreContextRate, t.deaf = .005, true
	case 2:
		o.GapIndices, o.GapTailRatios = []int{rng.IntN(4)}, []float64{rng.Float64()}
	default:
	}
	t.Settings.NoStartProbe = true // its object may be met, too
	var err error
	t.Adapter, err = fault.New(t.faulty, o)
	return err
}
