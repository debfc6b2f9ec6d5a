package fs_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// hooked is a file system whose faults can be changed while it is in use.
type hooked struct {
	hook atomic.Pointer[func(fstest.Call) fstest.Fault]
}

func (h *hooked) system() fs.System {
	return fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
		if f := h.hook.Load(); f != nil {
			return (*f)(c)
		}
		return fstest.Fault{}
	})
}

// set makes f the fault from now on, nil none.
func (h *hooked) set(f func(fstest.Call) fstest.Fault) {
	if f == nil {
		h.hook.Store(nil)
		return
	}
	h.hook.Store(&f)
}

// fail lets all calls of one kind fail.
func (h *hooked) fail(op fstest.Op, err error) {
	h.set(func(c fstest.Call) fstest.Fault {
		if c.Op == op {
			return fstest.Fault{Err: err}
		}
		return fstest.Fault{}
	})
}

// Whatever the operating system refuses while an object is stored: the item says why,
// nothing can be read, no temporary file is left, and afterwards it works again.
func TestREQ_S55_StoreFails(t *testing.T) {
	leak.Check(t)
	reasons := map[error]l2.Reason{
		syscall.ENOSPC: l2.ReasonNoSpace, syscall.EDQUOT: l2.ReasonNoSpace, syscall.EROFS: l2.ReasonIO, syscall.EACCES: l2.ReasonIO,
		syscall.EIO: l2.ReasonIO, syscall.EFBIG: l2.ReasonTooLarge, syscall.ENOTCONN: l2.ReasonIO, syscall.ETIMEDOUT: l2.ReasonTimeout,
	}
	var h hooked
	for _, o := range []fs.Options{{}, {DirectIO: true}, {Raw: true, TempDir: "tmp"}} {
		o.BasePath, o.System, o.Sync = t.TempDir(), h.system(), fs.SyncFileAndDir
		h.set(nil)
		s := open(t, o)
		i := 0
		for err, reason := range reasons {
			for _, op := range []fstest.Op{fstest.Open, fstest.Write, fstest.Sync, fstest.Close, fstest.Rename, fstest.Stat} {
				k := key("m", i)
				i++
				h.fail(op, err)
				_, got := store(t, s, k, 5000)
				isReason(t, got, reason)
				if want := err == syscall.ENOTCONN || err == syscall.ETIMEDOUT; l2.Unreachable(got) != want { //nolint:errorlint // the table's own values
					t.Errorf("%v: unreachable %v", got, !want)
				}
				h.set(nil)
				noTemps(t, o.BasePath)
				isReason(t, load(t, s, k, 5000), l2.ReasonNotFound)
				mustStore(t, s, k, 5000)
				if err := load(t, s, k, 5000); err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
		}

		// A disk that is full in the middle of a write.
		h.set(func(c fstest.Call) fstest.Fault {
			if c.Op == fstest.Write {
				return fstest.Fault{Most: 4096, Err: syscall.ENOSPC}
			}
			return fstest.Fault{}
		})
		_, err := store(t, s, key("m", i), 50000)
		isReason(t, err, l2.ReasonNoSpace)
		h.set(nil)
		noTemps(t, o.BasePath)

		// The name could not be forced to the disk: the object is there, and the caller knows.
		h.fail(fstest.SyncDir, syscall.EIO)
		_, err = store(t, s, key("m", i), 5000)
		isReason(t, err, l2.ReasonIO)
		h.set(nil)
		if n, err := store(t, s, key("m", i), 5000); n != 0 || err != nil {
			t.Errorf("again: %d bytes, %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// One failing key of a batch does not stop the others.
func TestOneFileFails(t *testing.T) {
	var h hooked
	s := open(t, fs.Options{BasePath: t.TempDir(), System: h.system()})
	items := make([]l2.Item, 8)
	for i := range items {
		items[i] = item(s.Format(), key("m", i), 5000)
	}
	var writes atomic.Int64
	h.set(func(c fstest.Call) fstest.Fault {
		if c.Op == fstest.Write && writes.Add(1) == 4 {
			return fstest.Fault{Err: syscall.EIO}
		}
		return fstest.Fault{}
	})
	if err := s.Store(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	h.fail(fstest.Open, syscall.EACCES)
	isReason(t, load(t, s, key("m", 0), 5000), l2.ReasonIO)
	h.fail(fstest.Read, syscall.EIO)
	isReason(t, load(t, s, key("m", 0), 5000), l2.ReasonIO)
	h.set(nil)
	for i, it := range items {
		if want := i == 3; (it.Err != nil) != want || (load(t, s, it.Key, 5000) != nil) != want {
			t.Errorf("item %d: %v", i, it.Err)
		}
	}
	freed := make([]int64, 2)
	h.fail(fstest.Remove, syscall.EACCES)
	if err := s.Delete(t.Context(), []kv.Key{key("m", 0), key("m", 3)}, freed); err != nil || freed[0] != -1 || freed[1] != 0 {
		t.Errorf("a file that cannot be removed: freed %v, %v", freed, err)
	}
	if !lookup(t, s, key("m", 0)) {
		t.Error("it is still there")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Reads and writes that move a part, and signals, cost nothing but calls.
func TestShortReadsAndWrites(t *testing.T) {
	for _, o := range []fs.Options{{}, {DirectIO: true}, {Raw: true, ReadAhead: 100}} {
		var calls atomic.Int64
		o.BasePath = t.TempDir()
		o.System = fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
			if c.Op != fstest.Read && c.Op != fstest.Write {
				return fstest.Fault{}
			}
			if calls.Add(1)%3 == 0 {
				return fstest.Fault{Err: syscall.EINTR}
			}
			most := 4096
			if !c.Mode.Direct {
				most = 1000 + int(calls.Load()*7919)%5000
			}
			return fstest.Fault{Most: most}
		})
		s := open(t, o)
		for i, size := range []int{1, 4096, 5000, 100000} {
			mustStore(t, s, key("m", i), size)
			if err := load(t, s, key("m", i), size); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		if calls.Load() < 50 {
			t.Errorf("%d calls", calls.Load())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Direct I/O that is refused, at the start or for a file, degrades to the page cache
// and says so; no store or load fails.
func TestREQ_S50_DirectIORefused(t *testing.T) {
	leak.Check(t)
	sizes := []int{1, 4095, 4096, 5000, 2 << 20, 2<<20 + 17}
	check := func(t *testing.T, s *fs.Store) {
		t.Helper()
		for i, size := range sizes {
			mustStore(t, s, key("m", i), size)
			if err := load(t, s, key("m", i), size); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
	direct := func(op fstest.Op, create bool) func(fstest.Call) fstest.Fault {
		return func(c fstest.Call) fstest.Fault {
			if c.Op == op && c.Mode.Direct && c.Mode.Create == create {
				return fstest.Fault{Err: syscall.EINVAL}
			}
			return fstest.Fault{}
		}
	}
	for _, raw := range []bool{false, true} {
		for name, hook := range map[string]func(fstest.Call) fstest.Fault{
			"open to write": direct(fstest.Open, true), "open to read": direct(fstest.Open, false),
			"write": direct(fstest.Write, true), "read": direct(fstest.Read, false),
		} {
			t.Run(fmt.Sprintf("raw %v/%s", raw, name), func(t *testing.T) {
				var h hooked
				h.set(hook)
				o := fs.Options{BasePath: t.TempDir(), DirectIO: true, Raw: raw, System: h.system()}
				s := open(t, o) // refused at the start
				if d := s.Describe(); d["direct_io"] != "fallback" || !strings.Contains(d["direct_io_reason"].(string), "invalid argument") {
					t.Errorf("described as %v, %v", d["direct_io"], d["direct_io_reason"])
				}
				check(t, s)
				if err := s.Close(); err != nil {
					t.Error(err)
				}

				h.set(nil)
				o.BasePath = t.TempDir()
				s = open(t, o)
				h.set(hook) // refused later
				check(t, s)
				d := s.Describe()
				if d["direct_io"] != "on" || d["direct_io_skipped"].(int64) < 2 || d["direct_io_reason"] == nil {
					t.Errorf("described as %v, %v files without, %v", d["direct_io"], d["direct_io_skipped"], d["direct_io_reason"])
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Buffers that direct I/O cannot use, by where they begin or by their room.
func TestREQ_S50_MisalignedBuffers(t *testing.T) {
	for _, raw := range []bool{false, true} {
		s := open(t, fs.Options{BasePath: t.TempDir(), DirectIO: true, Raw: raw})
		if s.Describe()["direct_io"] != "on" {
			t.Log("no direct I/O here:", s.Describe()["direct_io_reason"])
		}
		for i, shift := range []int{0, 1, 512, 4095} {
			for j, room := range []int{0, 8192} {
				k := key("m", 10*i+j)
				it := item(s.Format(), k, 8192)
				mem := make([]byte, shift+8192+room)
				data := mem[shift : shift+8192]
				copy(data, it.Data)
				it.Data = data
				items := []l2.Item{it}
				if err := s.Store(t.Context(), items); err != nil || items[0].Err != nil || items[0].N != 8192 {
					t.Fatalf("store at %d: %d bytes, %v, %v", shift, items[0].N, err, items[0].Err)
				}
				clear(data)
				clear(it.Head)
				if err := s.Load(t.Context(), items); err != nil || items[0].Err != nil || items[0].N != 8192 {
					t.Fatalf("load at %d: %d bytes, %v, %v", shift, items[0].N, err, items[0].Err)
				}
				if string(data) != string(payload(k, 8192)) {
					t.Errorf("load at %d: other bytes", shift)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file system that cannot rename without replacing, or link either.
func TestPublishFallsBack(t *testing.T) {
	for want, refuse := range map[string]func(fstest.Call) error{
		"rename": func(fstest.Call) error { return nil },
		"link": func(c fstest.Call) error {
			if c.NoRepl {
				return syscall.EINVAL
			}
			return nil
		},
		"replace": func(c fstest.Call) error {
			if c.NoRepl {
				return syscall.ENOSYS
			}
			if c.Op == fstest.Link {
				return syscall.EPERM
			}
			return nil
		},
	} {
		dir := t.TempDir()
		s := open(t, fs.Options{BasePath: dir, System: fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault { return fstest.Fault{Err: refuse(c)} })})
		items := make([][]l2.Item, 8)
		var wg sync.WaitGroup
		for w := range items {
			for i := range 20 {
				items[w] = append(items[w], item(s.Format(), key("m", i), 5000))
			}
			wg.Go(func() {
				if err := s.Store(t.Context(), items[w]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range 20 {
			won := 0
			for w := range items {
				if it := items[w][i]; it.Err != nil {
					t.Errorf("%s: %v", want, it.Err)
				} else if it.N > 0 {
					won++
				}
			}
			if won == 0 || won > 1 && want != "replace" {
				t.Errorf("%s: %d writers have written object %d", want, won, i)
			}
			if err := load(t, s, key("m", i), 5000); err != nil {
				t.Errorf("%s: %v", want, err)
			}
		}
		if got := s.Describe()["publish"]; got != want {
			t.Errorf("published by %v, want %s", got, want)
		}
		noTemps(t, dir)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Another process is a moment faster, with the same object or with a file of another
// length.
func TestRaceIsLost(t *testing.T) {
	var h hooked
	dir := t.TempDir()
	other := open(t, fs.Options{BasePath: dir})
	s := open(t, fs.Options{BasePath: dir, System: h.system()})
	k := key("m", 1)
	h.set(func(c fstest.Call) fstest.Fault {
		if c.Op == fstest.Rename && c.NoRepl {
			mustStore(t, other, k, 5000)
		}
		return fstest.Fault{}
	})
	if n, err := store(t, s, k, 5000); n != 0 || err != nil {
		t.Errorf("%d bytes, %v, want success with 0", n, err)
	}
	k = key("m", 2)
	times := 0
	spoil := func(most int) func(c fstest.Call) fstest.Fault {
		times = 0
		return func(c fstest.Call) fstest.Fault {
			if c.Op == fstest.Rename && c.NoRepl {
				if times++; times <= most {
					if err := os.WriteFile(fs.Path(s, k), make([]byte, 4096+times), 0o600); err != nil {
						t.Error(err)
					}
				}
			}
			return fstest.Fault{}
		}
	}
	h.set(spoil(2))
	if n, err := store(t, s, k, 5000); n != 5000 || err != nil {
		t.Errorf("%d bytes, %v, want success at the third time", n, err)
	}
	if err := load(t, s, k, 5000); err != nil {
		t.Error(err)
	}
	k = key("m", 3)
	h.set(spoil(1000))
	_, err := store(t, s, k, 5000)
	isReason(t, err, l2.ReasonIO)
	h.set(nil)
	noTemps(t, dir)
	for _, s := range []*fs.Store{s, other} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A call that hangs in the operating system holds Close, and nothing else; the other
// items of its batch are not begun.
func TestCloseWaitsForADisk(t *testing.T) {
	leak.Check(t)
	var h hooked
	s := open(t, fs.Options{BasePath: t.TempDir(), System: h.system()})
	mustStore(t, s, key("m", 9), 5000)
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.set(func(c fstest.Call) fstest.Fault {
		if c.Op == fstest.Write {
			once.Do(func() { close(reached) })
			<-release
		}
		return fstest.Fault{}
	})
	items := []l2.Item{item(s.Format(), key("m", 0), 5000), item(s.Format(), key("m", 1), 5000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Store(t.Context(), items); err != nil {
			t.Error(err)
		}
	})
	<-reached
	if err := load(t, s, key("m", 9), 5000); err != nil || s.Limit(0) == 0 {
		t.Errorf("beside a store that hangs: %v", err)
	}
	closed := make(chan struct{})
	wg.Go(func() {
		defer close(closed)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for s.Lookup(t.Context(), nil, nil) == nil { // until Close has begun
		runtime.Gosched()
	}
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Error("Close has not waited")
	default:
	}
	close(release)
	wg.Wait()
	if items[0].Err != nil || items[0].N != 5000 {
		t.Errorf("the store that hung: %d bytes, %v", items[0].N, items[0].Err)
	}
	isReason(t, items[1].Err, l2.ReasonClosed)
}

// A context that has ended stops a large object between two pieces.
func TestContextEndsBetweenPieces(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	s := open(t, fs.Options{BasePath: dir, System: fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
		if c.Op == fstest.Write && c.Bytes == 8<<20 {
			cancel()
		}
		return fstest.Fault{}
	})})
	items := []l2.Item{item(s.Format(), key("m", 0), 20<<20)}
	if err := s.Store(ctx, items); err != nil || !strings.Contains(fmt.Sprint(items[0].Err), "context canceled") {
		t.Errorf("%v, %v", err, items[0].Err)
	}
	noTemps(t, dir)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A store that puts a file of another length aside says how much that was, whether the
// new one is written or not; one that puts nothing aside says 0.
func TestStoreTellsWhatItPutsAside(t *testing.T) {
	var h hooked
	s := open(t, fs.Options{BasePath: t.TempDir(), System: h.system()})
	k := key("m", 1)
	mustStore(t, s, k, 4096)
	for _, tt := range []struct {
		size int
		err  error // of a write
		gone int64
		why  l2.Reason
	}{
		{size: 4096},
		{size: 10_000, gone: 2 * 4096},
		{size: 10_000},
		{size: 100, err: syscall.ENOSPC, gone: 4 * 4096, why: l2.ReasonNoSpace},
		{size: 100},
	} {
		if tt.err != nil {
			h.fail(fstest.Write, tt.err)
		}
		items := []l2.Item{item(s.Format(), k, tt.size)}
		items[0].Gone = 7
		if err := s.Store(t.Context(), items); err != nil || l2.ReasonOf(items[0].Err) != tt.why || items[0].Gone != tt.gone {
			t.Errorf("%d bytes: %d gone, want %d; %v, %v", tt.size, items[0].Gone, tt.gone, err, items[0].Err)
		}
		h.set(nil)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
