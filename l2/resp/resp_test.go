package resp_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
)

func open(tb testing.TB, o resp.Options) *resp.Adapter {
	tb.Helper()
	a, err := resp.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// onRedis opens an adapter on an empty server of its own.
func onRedis(change func(*resp.Options)) l2test.Opener {
	return func(tb testing.TB) l2.Adapter { return persistent(change)(tb)(tb) }
}

func persistent(change func(*resp.Options)) func(testing.TB) l2test.Opener {
	return func(tb testing.TB) l2test.Opener {
		o := resp.Options{Addrs: []string{servertest.Redis(tb).Addr}}
		if change != nil {
			change(&o)
		}
		return func(tb testing.TB) l2.Adapter { return open(tb, o) }
	}
}

func TestRedis(t *testing.T) {
	l2test.Run(t, onRedis(nil), l2test.Persistent(persistent(nil)))
}

func TestRedisRaw(t *testing.T) {
	raw := func(o *resp.Options) { o.Format, o.Prefix = l2.Format{Raw: true}, "prefix[*]?" }
	l2test.Run(t, onRedis(raw), l2test.Persistent(persistent(raw)), l2test.Calls(100))
}

// One cluster for all parts: it takes seconds to make. Each gets it empty.
func TestCluster(t *testing.T) {
	addrs := servertest.RedisCluster(t)
	o := resp.Options{Addrs: addrs[:1], Cluster: true}
	empty := func(tb testing.TB) l2test.Opener {
		for _, addr := range addrs {
			c := client(tb, addr)
			if err := c.Do(tb.Context(), c.B().Flushall().Build()).Error(); err != nil {
				tb.Fatal(err)
			}
			c.Close()
		}
		return func(tb testing.TB) l2.Adapter { return open(tb, o) }
	}
	l2test.Run(t, func(tb testing.TB) l2.Adapter { return empty(tb)(tb) }, l2test.Persistent(empty), l2test.Calls(100))

	a := empty(t)(t)
	var items []l2.Item
	for n := range 100 {
		items = append(items, l2test.Item(t, n, "payload"))
	}
	if err := a.Store(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		c := client(t, addr)
		if n, err := c.Do(t.Context(), c.B().Dbsize().Build()).AsInt64(); err != nil || n < 10 {
			t.Errorf("a node has %d of 100 objects, %v", n, err)
		}
	}
}
