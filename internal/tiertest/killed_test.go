package tiertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The environment of a process that stores through a manager until it is killed.
const (
	killedDir  = "LMCACHE_TEST_KILLED_DIR"
	killedSeed = "LMCACHE_TEST_KILLED_SEED"
	killedAt   = "LMCACHE_TEST_KILLED_AT" // number of the call of the operating system
)

const (
	killedObjects  = 60
	killedCapacity = 1_500_000
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		if err := storeUntilKilled(dir); err != nil {
			panic(err)
		}
	}
	m.Run()
}

// killedLayout is that of an object.
func killedLayout(n uint64) (kv.Layout, error) {
	return kv.RawLayout([]int64{4096, 30_001, 100_000, 1}[n%4])
}

// openKilled opens a manager over the folder.
func openKilled(ctx context.Context, dir string, direct bool, sys l2fs.System) (*storage.Manager, error) {
	a, err := l2fs.Open(ctx, l2fs.Options{BasePath: dir, DirectIO: direct, MinFree: -1, MaxBytes: killedCapacity, System: sys})
	if err != nil {
		return nil, err
	}
	m, err := storage.Open(ctx, storage.Options{
		L1: l1.Options{Bytes: 1 << 20},
		Tiers: []storage.Tier{{Name: onDisk, Adapter: a, Settings: l2.Settings{
			Type: onDisk, Workers: 4, PerOpWorkers: 2, Capacity: killedCapacity, NoStartProbe: true,
		}}},
	})
	return m, err
}

// storeUntilKilled stores and reads, more than the tier may hold, and is killed by its
// own hand in the middle of a call of the operating system.
func storeUntilKilled(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(killedSeed), 10, 64)
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(os.Getenv(killedAt), 10, 64)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 9))
	part := rng.IntN(1 << 16)
	var calls atomic.Int64
	ctx := context.Background()
	m, err := openKilled(ctx, dir, seed%2 == 0, fstest.Wrap(l2fs.OS(), func(c fstest.Call) fstest.Fault {
		switch n := calls.Add(1); {
		case n < at:
			return fstest.Fault{}
		case n == at && c.Op == fstest.Write:
			return fstest.Fault{Most: 4096 + part/4096*4096} // a part of it, and no more
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}))
	if err != nil {
		return err
	}
	var scratch []byte
	for {
		if err := useKilled(ctx, m, rng.Uint64N(killedObjects), &scratch); err != nil {
			return err
		}
	}
}

// useKilled looks an object up and compares it, or stores it.
func useKilled(ctx context.Context, m *storage.Manager, n uint64, scratch *[]byte) error {
	if there, err := readKilled(ctx, m, n, scratch); err != nil || there {
		return err
	}
	layout, err := killedLayout(n)
	if err != nil {
		return err
	}
	keys := []kv.Key{numbered("m", "", n)}
	w, err := m.ReserveWrite(ctx, keys, layout, storage.New, storage.WriteOptions{})
	if err != nil {
		return err
	}
	for _, b := range w.All() {
		fill(b, keys[0], layout)
	}
	w.Finish()
	return nil
}

// readKilled reads an object, which must be right or not there.
func readKilled(ctx context.Context, m *storage.Manager, n uint64, scratch *[]byte) (there bool, err error) {
	layout, err := killedLayout(n)
	if err != nil {
		return false, err
	}
	p, err := m.SubmitPrefetch(ctx, []kv.Key{numbered("m", "", n)}, layout, storage.PrefetchOptions{Deadline: 20 * time.Second})
	if err != nil {
		return false, err
	}
	defer p.Release()
	if r, err := p.Wait(ctx); err != nil || r.Prefix == 0 {
		return false, err
	}
	l, err := p.Read(ctx, storage.Select{Hi: 1})
	if err != nil {
		return false, err
	}
	defer l.Finish()
	for _, b := range l.All() {
		if d := differs(b, p.Keys()[0], layout, scratch); d != "" {
			return false, fmt.Errorf("wrong bytes: %s", d)
		}
	}
	return true, nil
}

// REQ-S48, REQ-S53: a process is killed in the middle of stores through its manager,
// again and again on one folder. After each time all that can be read is right, nothing
// is damaged, and the tier counts exactly the files.
//
// CRASH_POINTS is how often; see make crash.
func TestREQ_S53_KilledManagers(t *testing.T) {
	leak.Check(t)
	points := 100
	if text := os.Getenv("CRASH_POINTS"); text != "" {
		var err error
		if points, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		points = 5
	}
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 53))
	d := newDisk(t.TempDir())
	var scratch []byte
	found := 0
	for i := range points {
		at := 300 + rng.IntN(1500) // the first calls are those of the scan
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), killedDir+"="+d.dir(0), fmt.Sprintf("%s=%d", killedSeed, i), fmt.Sprintf("%s=%d", killedAt, at))
		if out, err := cmd.CombinedOutput(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("process %d, killed at call %d: %v\n%s", i, at, err, out)
		}
		m, err := openKilled(t.Context(), d.dir(0), i%2 == 1, l2fs.System{})
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("process %d", i)
		counted(t, name, m)
		var sum int64
		for _, size := range d.objects(0) {
			sum += size
		}
		if st := m.Stats().Tiers[0]; st.UsedBytes != sum || sum > killedCapacity || st.Objects == 0 && found > 0 {
			t.Errorf("%s: %d objects of %d bytes, files have %d", name, st.Objects, st.UsedBytes, sum)
		}
		for n := range uint64(killedObjects) {
			there, err := readKilled(t.Context(), m, n, &scratch)
			if err != nil {
				t.Errorf("%s: object %d: %v", name, n, err)
			}
			if there {
				found++
			}
		}
		if st := m.Stats().Tiers[0]; st.Corrupt != 0 {
			t.Errorf("%s: %d objects are damaged", name, st.Corrupt)
		}
		if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if found == 0 {
		t.Error("nothing was ever found")
	}
	t.Logf("seed %d: %d processes killed, %d objects read after them", seed, points, found)
}
