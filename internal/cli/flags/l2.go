package flags

import (
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// L2 holds the flags of the tiers behind host memory.
type L2 struct {
	Adapters         []string    `name:"l2-adapter" group:"L2" json:"" placeholder:"JSON" help:"A store behind host memory, as a JSON object; repeatable, in order of preference (docs/tiers.md)"`
	StorePolicy      string      `name:"l2-store-policy" group:"L2" default:"default" choices:"default,skip_l1" help:"What happens to an object in L1 once it is stored: default keeps it, skip_l1 drops it"`
	PrefetchPolicy   string      `name:"l2-prefetch-policy" group:"L2" default:"default" choices:"default,retain" help:"What happens to an object that was loaded: default drops it after its last reader, retain keeps it in L1"`
	PrefetchInFlight int         `name:"l2-prefetch-max-in-flight" group:"L2" default:"8" min:"1" max:"65536" help:"Requests that load from stores at a time"`
	PrefetchTimeout  cli.Seconds `name:"l2-prefetch-load-timeout" group:"L2" default:"30" min:"0" help:"How long a request waits for what it loads, then it goes on with what is there; 0: for ever"`
	PrefetchBytes    cli.Bytes   `name:"l2-prefetch-max-inflight-bytes" group:"L2" above:"0" help:"Memory of L1 that loads reserve at a time; 1/4 of L1 by default"`
	StoreBytes       cli.Bytes   `name:"l2-store-max-inflight-bytes" group:"L2" above:"0" help:"Bytes in L1 that stores hold at a time; 1/8 of L1 by default"`
	StoreBacklog     int         `name:"l2-store-max-backlog" group:"L2" default:"65536" min:"1" help:"Objects that wait to be stored; the oldest is dropped beyond"`
	DisableL1        bool        `name:"disable-l1-retrieval" group:"L2" help:"For tests: what is in L1 is not used but loaded again"`
}

// Names are those of the flags that do nothing without an adapter.
func (*L2) Names() []string {
	return []string{
		"l2-store-policy", "l2-prefetch-policy", "l2-prefetch-max-in-flight", "l2-prefetch-load-timeout", "l2-prefetch-max-inflight-bytes",
		"l2-store-max-inflight-bytes", "l2-store-max-backlog", "disable-l1-retrieval",
	}
}

// StoreSkipL1 is the policy that empties L1 as objects are stored.
const StoreSkipL1 = "skip_l1"

// Check reports what cannot take effect. It needs the flags of L1, whose readers must
// outlive the loads that they wait for.
func (l *L2) Check(p *cli.Problems, l1 *L1) {
	if len(l.Adapters) == 0 {
		if p.IsBad("l2-adapter") {
			return
		}
		for _, name := range l.Names() {
			if p.IsSet(name) && !p.IsBad(name) {
				p.Flag(name, "has no effect without --l2-adapter")
			}
		}
		return
	}
	ttl, wait := l1.ReadTTL.Duration(), l.PrefetchTimeout.Duration()
	if !p.IsBad("l1-read-ttl-seconds") && !p.IsBad("l2-prefetch-load-timeout") && ttl <= wait {
		p.Flag("l1-read-ttl-seconds", "must be more than --l2-prefetch-load-timeout, %v; got %v", wait, ttl)
	}
}

// Timeout is the prefetch timeout, negative for none.
func (l *L2) Timeout() time.Duration {
	if l.PrefetchTimeout == 0 {
		return -1
	}
	return l.PrefetchTimeout.Duration()
}

// Keeps tells whether objects stay in L1 after they are stored.
func (l *L2) Keeps() bool { return l.StorePolicy != StoreSkipL1 }
