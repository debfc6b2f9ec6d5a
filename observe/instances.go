package observe

import (
	"sync/atomic"

	"github.com/lmcache-go/lmcache"
)

// instances is what an engine's Stats say of the hosts that are registered. It is
// asked when an unknown host appears and then again when told to. Only watch may be
// called from other goroutines.
type instances struct {
	engine     atomic.Pointer[EngineStats]
	registered map[int64]int // tokens of a block; 0: not known
	unknown    map[int64]struct{}
}

func (in *instances) watch(e EngineStats) {
	if e == nil {
		in.engine.Store(nil)
		return
	}
	in.engine.Store(&e)
}

// blockTokens is the block size of a host; 0: not known.
func (in *instances) blockTokens(instance int64) int {
	tokens, ok := in.registered[instance]
	if ok {
		return tokens
	}
	if _, asked := in.unknown[instance]; asked {
		return 0
	}
	if registered, ok := in.ask(); ok {
		if in.registered == nil {
			in.registered = make(map[int64]int)
		}
		if tokens, ok := registered[instance]; ok {
			in.registered[instance] = tokens
			return tokens
		}
	}
	if len(in.unknown) < MaxL0Requests {
		if in.unknown == nil {
			in.unknown = make(map[int64]struct{})
		}
		in.unknown[instance] = struct{}{}
	}
	return 0
}

// refresh asks again, if any host was seen, and returns those that are gone.
func (in *instances) refresh() (gone []int64) {
	if len(in.registered)+len(in.unknown) == 0 {
		return nil
	}
	registered, ok := in.ask()
	if !ok {
		return nil
	}
	clear(in.unknown)
	for instance := range in.registered {
		if tokens, ok := registered[instance]; ok {
			in.registered[instance] = tokens
			continue
		}
		delete(in.registered, instance)
		gone = append(gone, instance)
	}
	return gone
}

// ask returns the block sizes of all registered hosts; false: there is nobody to
// ask, or it panicked.
func (in *instances) ask() (map[int64]int, bool) {
	e := in.engine.Load()
	if e == nil {
		return nil, false
	}
	s := ask((*e).Stats)
	if s == nil {
		return nil, false
	}
	sizes := make(map[int64]int)
	add := func(i *lmcache.InstanceStats, tokens int) {
		if i == nil {
			return
		}
		if old, ok := sizes[i.ID]; ok && old != tokens {
			tokens = 0 // they do not agree
		}
		sizes[i.ID] = tokens
	}
	for i := range s.Workers {
		for j := range s.Workers[i].KernelGroups {
			add(s.Workers[i].Instance, s.Workers[i].KernelGroups[j].BlockTokens)
		}
	}
	for i := range s.HostWorkers {
		add(s.HostWorkers[i].Instance, s.HostWorkers[i].BlockTokens)
	}
	return sizes, true
}
