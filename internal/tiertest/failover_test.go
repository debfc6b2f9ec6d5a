package tiertest

import (
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage"
)

// A full tier, which deletes before it stores, goes on with the new master when the old one
// has become its replica.
func TestFailoverOfAFullTier(t *testing.T) {
	leak.Check(t)
	first, second := servertest.Redis(t), servertest.Redis(t)
	second.Follow(first)
	a, err := resp.Open(resp.Options{Addrs: []string{first.Addr, second.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	d := openDropping(t, a, func(o *storage.Options) { o.Tiers[0].Settings.Capacity = 4 * (dropSize + 200) })
	for range 8 {
		d.put(1)
		if err := d.m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := d.m.Stats().Tiers[0]
	if before.Evicted == 0 {
		t.Fatalf("the tier is not full: %+v", before)
	}
	second.Follow(nil)
	first.Follow(second)
	servertest.Eventually(t, func() error {
		d.put(1)
		if err := d.m.Flush(t.Context()); err != nil {
			return err
		}
		if st := d.m.Stats().Tiers[0]; st.WrittenBytes <= before.WrittenBytes || st.Details["server"] != second.Addr || st.Breaker != storage.BreakerClosed {
			return fmt.Errorf("after the failover: %+v", st)
		}
		return nil
	})
}
