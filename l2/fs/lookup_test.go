package fs_test

import (
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A file about which the system says nothing is not one that is not there.
func TestLookupWithoutAnAnswer(t *testing.T) {
	var h hooked
	s := open(t, fs.Options{BasePath: t.TempDir(), System: h.system()})
	defer func() { _ = s.Close() }()
	mustStore(t, s, key("m", 1), 5000)
	h.fail(fstest.Stat, syscall.EIO)
	found := make([]l2.Found, 2)
	if err := s.Lookup(t.Context(), []kv.Key{key("m", 1), key("m", 2)}, found); err != nil || !found[0].OK || found[0].Err != nil ||
		found[1].OK || l2.ReasonOf(found[1].Err) != l2.ReasonIO {
		t.Errorf("%v, %+v", err, found)
	}
	h.set(nil)
	if err := s.Lookup(t.Context(), []kv.Key{key("m", 2)}, found[:1]); err != nil || found[0] != (l2.Found{}) {
		t.Errorf("an object that is not there: %v, %+v", err, found[0])
	}
}
