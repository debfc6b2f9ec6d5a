package fs_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Times of use are written in batches, later, and the last one of a key counts.
func TestTouchIsLazy(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		s := open(t, fs.Options{BasePath: dir, System: fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
			if c.Op == fstest.SetTime {
				written.Add(1)
			}
			return fstest.Fault{}
		})})
		keys := []kv.Key{key("m", 0), key("m", 1)}
		for _, k := range keys {
			mustStore(t, s, k, 100)
		}
		at := time.Unix(1700000000, 0)
		for i := range 1000 {
			s.Touch(t.Context(), keys, at.Add(time.Duration(i)*time.Second))
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if written.Load() != 0 {
			t.Errorf("%d times were written at once", written.Load())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		fs.WaitBackground(s)
		if written.Load() != 2 {
			t.Errorf("%d times were written, want 2", written.Load())
		}
		for k, e := range scan(t, s) {
			if want := at.Add(999 * time.Second); !e.Used.Equal(want) {
				t.Errorf("%v was used at %v, want %v", k, e.Used, want)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if written.Load() != 2 {
			t.Error("times are written again")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A disk that does not take times of use costs a bounded number of them, and nothing
// else.
func TestTouchIsBounded(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	reached := make(chan struct{})
	s := open(t, fs.Options{BasePath: t.TempDir(), System: fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
		if c.Op == fstest.SetTime {
			once.Do(func() { close(reached) })
			<-release
		}
		return fstest.Fault{}
	})})
	mustStore(t, s, key("m", 0), 100)
	keys := make([]kv.Key, 20000)
	for i := range keys {
		keys[i] = key("m", i)
	}
	s.Touch(t.Context(), keys, time.Now())
	<-reached
	s.Touch(t.Context(), keys, time.Now())
	if n := s.Describe()["touches_dropped"].(int64); n < 20000-2*4096 {
		t.Errorf("%d of 40000 times were dropped", n)
	}
	if err := load(t, s, key("m", 0), 100); err != nil {
		t.Error(err)
	}
	close(release)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
