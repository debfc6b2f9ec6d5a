package observe

import (
	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// LoopBus is the name of a bus's dispatcher among the loops.
const LoopBus = "event_bus"

// BusLoops are the goroutines of a bus as loops: the dispatcher, and those of
// isolated subscribers by their names, of several of one name the slowest.
func BusLoops(s eventbus.Stats) []lmcache.LoopStats {
	loops := []lmcache.LoopStats{{Name: LoopBus, Stalled: s.Stalled}}
	for _, i := range s.Isolated {
		loops = append(loops, lmcache.LoopStats{Name: i.Subscriber, Stalled: i.Stalled})
	}
	return slowest(loops)
}

// slowest keeps one of each name, in order of the first ones.
func slowest(loops []lmcache.LoopStats) []lmcache.LoopStats {
	at := make(map[string]int, len(loops))
	kept := loops[:0:0]
	for _, l := range loops {
		i, ok := at[l.Name]
		if !ok {
			at[l.Name] = len(kept)
			kept = append(kept, l)
			continue
		}
		kept[i].Stalled = max(kept[i].Stalled, l.Stalled)
	}
	return kept
}
