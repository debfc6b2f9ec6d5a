package fs_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The environment of a process that stores until it is killed, by its own hand in the
// middle of a call or by that of the test.
const (
	crashDir  = "LMCACHE_TEST_CRASH_DIR"
	crashSeed = "LMCACHE_TEST_CRASH_SEED"
	crashAt   = "LMCACHE_TEST_CRASH_AT" // number of the call of the operating system; 0: none
)

const (
	crashKeys  = 24 // few, so that processes meet
	crashBytes = 70000
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := storeUntilKilled(dir); err != nil {
			panic(err)
		}
	}
	m.Run()
}

// crashOptions differ with the seed, so that processes with and without direct I/O
// and temporary folder work side by side.
func crashOptions(dir string, seed uint64) fs.Options {
	o := fs.Options{BasePath: dir, DirectIO: seed%2 == 0}
	if seed%3 == 0 {
		o.TempDir = "tmp"
	}
	return o
}

// storeUntilKilled stores, loads and deletes the same few keys as other processes do,
// and verifies what it loads.
func storeUntilKilled(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(crashSeed), 10, 64)
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(os.Getenv(crashAt), 10, 64)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	most := rng.IntN(1 << 16)
	var calls atomic.Int64
	o := crashOptions(dir, seed)
	o.System = fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
		n := calls.Add(1)
		switch {
		case at == 0 || n < at:
		case n == at && c.Op == fstest.Write:
			return fstest.Fault{Most: 4096 + most/4096*4096} // a part of it, and no more
		default:
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return fstest.Fault{}
	})
	ctx := context.Background()
	s, err := fs.Open(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	for {
		k := key("m", rng.IntN(crashKeys))
		switch rng.IntN(4) {
		case 0:
			if err := s.Delete(ctx, []kv.Key{k}, make([]int64, 1)); err != nil {
				return err
			}
		case 1:
			if _, err := verified(ctx, s, k, crashBytes); err != nil {
				return err
			}
		default:
			items := []l2.Item{item(s.Format(), k, crashBytes)}
			if err := s.Store(ctx, items); err != nil {
				return err
			}
			if items[0].Err != nil {
				return items[0].Err
			}
		}
	}
}

// verified loads an object, which must be whole or not there.
func verified(ctx context.Context, s *fs.Store, k kv.Key, size int) (there bool, err error) {
	items := []l2.Item{{Key: k, Head: make([]byte, s.Format().HeadLen(k, "")), Data: make([]byte, size, (size+4095)/4096*4096)}}
	if err := s.Load(ctx, items); err != nil {
		return false, err
	}
	if l2.ReasonOf(items[0].Err) == l2.ReasonNotFound {
		return false, nil
	}
	if items[0].Err != nil {
		return false, items[0].Err
	}
	h, err := l2.ParseHeader(items[0].Head)
	if err != nil {
		return false, err
	}
	if err := h.Verify(l2.Want{Key: k, Size: int64(size)}, items[0].Data[:items[0].N]); err != nil {
		return false, err
	}
	if string(items[0].Data) != string(payload(k, size)[:size]) {
		return false, fmt.Errorf("%v: bytes that nobody has stored", k)
	}
	return true, nil
}

// crasher starts a process that dies at its own hand, or with ctx.
func crasher(ctx context.Context, dir string, seed uint64, at int) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s=%d", crashSeed, seed), fmt.Sprintf("%s=%d", crashAt, at))
	return cmd
}

// points is how many processes are killed; CRASH_POINTS asks for more.
func points(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("CRASH_POINTS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("CRASH_POINTS: %v", err)
	}
	return n
}

// Eight processes write the same keys in one folder, each is killed in the middle of
// some call of the operating system, and the next one goes on. Every object that can
// be read, at any time and by anybody, is whole and that of its key, and nothing is
// left but objects and temporary files, which are removed when they are old.
func TestREQ_S48_KilledWriters(t *testing.T) {
	dir := t.TempDir()
	const seed = 1
	n := points(t, 100)
	rng := rand.New(rand.NewPCG(seed, 2))
	s := open(t, fs.Options{BasePath: dir})
	next := make(chan [2]uint64, n)
	for i := range n {
		next <- [2]uint64{uint64(i), 40 + rng.Uint64N(400)} // the first calls are those of Open
	}
	close(next)
	var processes, verifier sync.WaitGroup
	for range 8 {
		processes.Go(func() {
			for p := range next {
				out, err := crasher(t.Context(), dir, p[0], int(p[1])).CombinedOutput()
				if err == nil || err.Error() != "signal: killed" {
					t.Errorf("process %d, killed at call %d: %v\n%s", p[0], p[1], err, out)
				}
			}
		})
	}
	done := make(chan struct{})
	seen := 0
	verifier.Go(func() {
		for {
			for i := range crashKeys {
				there, err := verified(t.Context(), s, key("m", i), crashBytes)
				if err != nil {
					t.Errorf("beside the writers: %v", err)
					return
				}
				if there {
					seen++
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	processes.Wait()
	close(done)
	verifier.Wait()
	if seen == 0 {
		t.Error("no object was ever there")
	}
	settled(t, s, dir)
	t.Logf("seed %d, %d processes killed, %d objects read beside them", seed, n, seen)
}

// settled verifies all objects after the processes have gone, opens the folder again
// when their temporary files are old, and finds nothing but the objects.
func settled(t *testing.T, s *fs.Store, dir string) {
	t.Helper()
	there := 0
	for i := range crashKeys {
		ok, err := verified(t.Context(), s, key("m", i), crashBytes)
		if err != nil {
			t.Error(err)
		}
		if ok {
			there++
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	var bytes int64
	temps := 0
	old := time.Now().Add(-2 * time.Hour)
	for path, size := range tree(t, dir) {
		if strings.HasSuffix(path, ".tmp") {
			temps++
			if err := os.Chtimes(filepath.Join(dir, path), old, old); err != nil {
				t.Error(err)
			}
			continue
		}
		bytes += size
	}
	s = open(t, crashOptions(dir, 3)) // it knows of the folder of temporary files
	fs.WaitBackground(s)
	all := scan(t, s)
	var sum int64
	for _, e := range all {
		sum += e.Size
	}
	if len(all) != there || sum != bytes {
		t.Errorf("a scan finds %d objects of %d bytes; %d can be read, and files have %d bytes", len(all), sum, there, bytes)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := tree(t, dir); len(left) != there {
		t.Errorf("left: %v", left)
	}
	t.Logf("%d objects and %d temporary files were left", there, temps)
}

// A process is killed from outside at a random moment, again and again in one folder.
func TestREQ_S53_KilledFromOutside(t *testing.T) {
	dir := t.TempDir()
	n := points(t, 20)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		cmd := crasher(t.Context(), dir, uint64(i), 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Errorf("%q, %v", line, err)
		}
		pause := time.NewTimer(time.Duration(rng.IntN(20000)) * time.Microsecond)
		<-pause.C
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("process %d: %v", i, err)
		}
	}
	settled(t, open(t, fs.Options{BasePath: dir}), dir)
}
