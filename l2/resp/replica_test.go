package resp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ofTwo is an adapter of two servers.
func ofTwo(t *testing.T, first, second *servertest.Server) *resp.Adapter {
	t.Helper()
	a := open(t, resp.Options{Addrs: []string{first.Addr, second.Addr}})
	l2test.Closing(t, a)
	return a
}

// stored stores an object, and returns its error.
func stored(t *testing.T, a *resp.Adapter, n int) error {
	t.Helper()
	items := []l2.Item{l2test.Item(t, n, "payload")}
	if err := a.Store(t.Context(), items); err != nil {
		return err
	}
	return items[0].Err
}

// refusedNow reports whether err is that of a replica, and is tried again.
func refusedNow(err error) bool {
	return errors.Is(err, l2.ErrThrottled) && strings.Contains(err.Error(), "READONLY")
}

// A replica is left to others as long as there is a master; when the two change places,
// the next stores and deletions find the new one.
func TestReplicaAndMaster(t *testing.T) {
	leak.Check(t)
	first, second := servertest.Redis(t), servertest.Redis(t)
	first.Follow(second)
	a := ofTwo(t, first, second)
	servertest.Eventually(t, func() error { return stored(t, a, 1) })
	if d := a.Describe(); d["server"] != second.Addr || d["replica"] != nil {
		t.Errorf("it uses %v, want the master", d)
	}
	change := func(master, replica *servertest.Server) {
		master.Follow(nil)
		replica.Follow(master)
	}
	change(first, second)
	if err := stored(t, a, 2); !refusedNow(err) {
		t.Errorf("a store when the master has become a replica: %v", err)
	}
	servertest.Eventually(t, func() error { return stored(t, a, 2) })
	if d := a.Describe(); d["server"] != first.Addr || d["replica"] != nil {
		t.Errorf("it uses %v, want the new master", d)
	}
	change(second, first)
	a.Age()
	remove := func() error { return a.Delete(t.Context(), []kv.Key{l2test.Key(t, 2)}, make([]int64, 1)) }
	if err := remove(); !refusedNow(err) {
		t.Errorf("a deletion when the master has become a replica: %v", err)
	}
	servertest.Eventually(t, remove)
	if d := a.Describe(); d["server"] != second.Addr {
		t.Errorf("it uses %v, want the new master", d)
	}
}

// Without a master a replica serves loads; it is not told from a master any more once it
// is one, and one that has become a master is found.
func TestReplicaAlone(t *testing.T) {
	leak.Check(t)
	second, first := replicated(t, 2)
	first.Kill()
	a := ofTwo(t, first, second)
	for range 3 {
		if err := stored(t, a, 2); !refusedNow(err) {
			t.Errorf("a store: %v", err)
		}
		if err := loaded(t, a, 1); err != nil {
			t.Errorf("a load: %v", err)
		}
	}
	if d := a.Describe(); d["replica"] != true || d["server"] != second.Addr {
		t.Errorf("it uses %v, want the replica", d)
	}
	second.Follow(nil)
	servertest.Eventually(t, func() error { return stored(t, a, 2) })
	if d := a.Describe(); d["replica"] != nil || d["server"] != second.Addr {
		t.Errorf("it uses %v, want what was a replica", d)
	}
	first.Restart()
	second.Follow(first)
	if err := stored(t, a, 3); err != nil && !refusedNow(err) {
		t.Errorf("a store: %v", err)
	}
	a.Age()
	servertest.Eventually(t, func() error { return stored(t, a, 3) })
	if d := a.Describe(); d["server"] != first.Addr {
		t.Errorf("it uses %v, want the only master", d)
	}
	single := open(t, resp.Options{Addrs: []string{second.Addr}})
	l2test.Closing(t, single)
	if err := stored(t, single, 4); !errors.Is(err, l2.ErrRefused) {
		t.Errorf("a replica and nothing else: %v", err)
	}
}

// A master that is silent does not keep a replica from serving.
func TestReplicaWhileTheMasterIsSilent(t *testing.T) {
	leak.Check(t)
	first, second := servertest.Redis(t), servertest.Redis(t)
	first.Follow(second)
	second.Hang()
	defer second.Resume()
	a := ofTwo(t, first, second)
	began := time.Now()
	err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1))
	if took := time.Since(began); err != nil || took > resp.DefaultRequestTimeout/2 {
		t.Errorf("a lookup: %v after %v", err, took)
	}
}

// A server that does not say what it is, is left all the same when it refuses to store.
func TestReplicaThatDoesNotSayIt(t *testing.T) {
	leak.Check(t)
	first, second := servertest.Redis(t), servertest.Redis(t)
	first.Follow(second)
	for _, s := range []*servertest.Server{first, second} {
		s.Command("ACL SETUSER default -info")
	}
	a := ofTwo(t, first, second)
	if err := stored(t, a, 1); !refusedNow(err) {
		t.Errorf("the first store: %v", err)
	}
	servertest.Eventually(t, func() error { return stored(t, a, 1) })
	if d := a.Describe(); d["server"] != second.Addr {
		t.Errorf("it uses %v, want the master", d)
	}
}
