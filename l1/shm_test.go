package l1_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

func TestSegmentName(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "a": "lmcache_l1_pool_a", "lmcache_l1_pool_a": "lmcache_l1_pool_a", "auto": "lmcache_l1_pool_" + strconv.Itoa(os.Getpid()),
	} {
		if got := l1.SegmentName(name); got != want {
			t.Errorf("%q stands for %q, want %q", name, got, want)
		}
	}
}

// An object in shared memory lies in the file at its offset, for whoever opens it.
func TestSharedMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("shared memory is Linux's")
	}
	leak.Check(t)
	for _, eager := range []bool{false, true} {
		dir := t.TempDir()
		o := l1.Faulty(l1.Options{Bytes: 10*step + 1, InitBytes: step, Eager: eager, ShmName: "test", ShmDir: dir, ShmMode: 0o660}, step, nil)
		m := newLive(t, o)
		d := m.Memory()
		if d.Name != "lmcache_l1_pool_test" || d.Bytes != 10*step+unit || m.Stats().ShmName != d.Name {
			t.Errorf("%+v", d)
		}
		path := filepath.Join(dir, d.Name)
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o660 || st.Size() != d.Bytes {
			t.Fatalf("%+v (%v)", st, err)
		}
		w, n := stage(t, m, layoutOf(t, unit-8), chunks(1, 0, 100)...)
		if n != 100 {
			t.Fatalf("%d of 100 granted", n)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		got, want := make([]byte, unit-8), make([]byte, unit-8)
		for i, b := range w.All() {
			pattern(b, chunk(1, i), 1)
			pattern(want, chunk(1, i), 1)
			if _, err := file.ReadAt(got, int64(address(b)-d.Base)); err != nil || string(got) != string(want) {
				t.Fatalf("object %d is not in the file (%v)", i, err)
			}
		}
		w.Finish(time.Now(), l1.OriginNew)
		if _, err := l1.New(o); !errors.As(err, new(*l1.ShmInUseError)) {
			t.Errorf("a second manager: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there (%v)", err)
		}
	}
}

// What lies between the logical and the physical size is zero when a writer gets
// it, whatever was there before, in each kind of memory.
func TestPaddingIsZero(t *testing.T) {
	leak.Check(t)
	for _, kind := range []string{"lazy", "eager", "shared"} {
		o := l1.Options{Bytes: 4 * step, InitBytes: step, Eager: kind == "eager"}
		if kind == "shared" {
			if runtime.GOOS != "linux" {
				continue
			}
			o.ShmName, o.ShmDir = "test", t.TempDir()
		}
		m := newLive(t, l1.Faulty(o, step, nil))
		for _, size := range []int64{unit - 1, 3*unit + 7} {
			layout := layoutOf(t, size)
			for round := range 3 {
				w, n := stage(t, m, layout, chunks(round, 0, 16)...)
				if n != 16 {
					t.Fatalf("%s: %d granted", kind, n)
				}
				for i, b := range w.All() {
					whole := b[:cap(b)]
					if strings.Trim(string(whole[len(b):]), "\x00") != "" {
						t.Fatalf("%s: object %d of round %d has padding %x", kind, i, round, whole[len(b):])
					}
					for j := range whole {
						whole[j] = 0xEE
					}
				}
				w.Abort(time.Now(), l1.AbortOwner)
			}
		}
	}
}
