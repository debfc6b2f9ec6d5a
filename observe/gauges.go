package observe

import (
	"slices"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// snapshot is what the sources say at one scrape. Each is asked once, when the
// first gauge needs it. A source that panicked is nil, so that its gauges panic too
// and are lost.
type snapshot struct {
	w      *watch
	engine asked[lmcache.Stats]
	store  asked[storage.Stats]
	bus    asked[eventbus.Stats]
}

// asked is the answer of one source.
type asked[S any] struct {
	done  bool
	stats *S
}

func (a *asked[S]) get(stats func() S) *S {
	if !a.done {
		a.done, a.stats = true, ask(stats)
	}
	return a.stats
}

// Engine also shows the series of models and workers that are new.
func (sn *snapshot) Engine() *lmcache.Stats {
	fresh := !sn.engine.done
	s := sn.engine.get(sn.w.s.Engine.Stats)
	if fresh && s != nil {
		sn.w.known.show(s)
		sn.w.known.showTiers(s.Storage.Tiers)
	}
	return s
}

// Storage is the engine's storage manager, or the one that has no engine.
func (sn *snapshot) Storage() *storage.Stats {
	if sn.w.s.Engine != nil {
		return &sn.Engine().Storage
	}
	fresh := !sn.store.done
	s := sn.store.get(sn.w.s.Storage.Stats)
	if fresh && s != nil {
		sn.w.known.showTiers(s.Tiers)
	}
	return s
}

// loops are those of all sources.
func (w *watch) loops(sn *snapshot) (all []lmcache.LoopStats) {
	switch {
	case w.s.Engine != nil:
		all = sn.Engine().Loops
	case w.s.Storage != nil:
		all = sn.Storage().Loops
	}
	if w.s.Bus != nil {
		all = append(slices.Clip(all), BusLoops(*sn.Bus())...)
	}
	return slowest(all)
}

// Bus is the bus.
func (sn *snapshot) Bus() *eventbus.Stats { return sn.bus.get(sn.w.s.Bus.Stats) }

func ask[S any](stats func() S) (s *S) {
	defer func() {
		if recover() != nil {
			s = nil
		}
	}()
	v := stats()
	return &v
}

// emit takes one series: its value and its attribute values in order of declaration.
type emit func(v float64, values ...string)

// gauge reads one metric from a snapshot.
type gauge struct {
	name string
	read func(*snapshot, emit)
}

// gauges are those that the sources have.
func (w *watch) gauges() []gauge {
	gs := w.s.Build.gauges()
	if w.s.Engine != nil || w.s.Storage != nil || w.s.Bus != nil {
		gs = append(gs, w.loopGauges()...)
	}
	if len(w.s.Spans) > 0 {
		gs = append(gs, w.spanGauges()...)
	}
	if w.s.Recorder != nil {
		gs = append(gs, w.recorderGauges()...)
	}
	if w.s.Engine != nil {
		gs = append(gs, gauge{nameActiveJobs, func(sn *snapshot, to emit) { to(float64(sn.Engine().ActivePrefetchJobs)) }})
	}
	if w.s.Engine != nil || w.s.Storage != nil {
		gs = append(append(gs, l1Gauges()...), tierGauges()...)
	}
	if w.s.Bus != nil {
		gs = append(gs, busGauges()...)
	}
	return append(gs, w.seriesGauge())
}

func l1Gauges() []gauge {
	of := func(name string, read func(l1.Stats) float64) gauge {
		return gauge{name, func(sn *snapshot, to emit) { to(read(sn.Storage().L1)) }}
	}
	return []gauge{
		of(nameL1UsageBytes, func(s l1.Stats) float64 { return float64(s.UsedBytes) }),
		of(nameL1UsageRatio, func(s l1.Stats) float64 {
			if s.CapacityBytes == 0 {
				return 0
			}
			return float64(s.UsedBytes) / float64(s.CapacityBytes)
		}),
		of(nameL1Capacity, func(s l1.Stats) float64 { return float64(s.CapacityBytes) }),
		of(nameL1Pinned, func(s l1.Stats) float64 {
			if s.CommittedBytes == 0 {
				return 0
			}
			return float64(s.PinnedBytes) / float64(s.CommittedBytes)
		}),
		of(nameL1Watermark, func(s l1.Stats) float64 { return s.Watermark }),
		{nameL1Objects, func(sn *snapshot, to emit) {
			s := sn.Storage().L1
			to(float64(s.WritingObjects), stateWriting)
			to(float64(s.Objects-s.ReadingObjects), stateReady)
			to(float64(s.ReadingObjects), stateReading)
		}},
	}
}

func busGauges() []gauge {
	return []gauge{
		{nameBusDepth, func(sn *snapshot, to emit) { to(float64(sn.Bus().Bulk.Events + sn.Bus().Reserved.Events)) }},
		{nameBusLag, func(sn *snapshot, to emit) { to(sn.Bus().Lag.Seconds()) }},
		{nameBusDropped, func(sn *snapshot, to emit) { to(float64(sn.Bus().Dropped)) }},
		{nameBusExceptions, func(sn *snapshot, to emit) {
			for name, n := range sn.Bus().Panics {
				to(float64(n), name)
			}
		}},
		{nameBusDroppedByType, func(sn *snapshot, to emit) {
			for _, t := range sn.Bus().Types {
				to(float64(t.Dropped), t.Name, t.Class.String())
				if t.IsolatedDropped > 0 {
					to(float64(t.IsolatedDropped), t.Name, "isolated")
				}
			}
		}},
		{nameBusLimit, func(sn *snapshot, to emit) {
			to(float64(sn.Bus().Bulk.EventLimit), eventbus.Bulk.String())
			to(float64(sn.Bus().Reserved.EventLimit), eventbus.Reserved.String())
		}},
		{nameCPU, func(sn *snapshot, to emit) {
			for name, d := range sn.Bus().Busy {
				to(d.Seconds(), name)
			}
		}},
		{nameClockSteps, func(sn *snapshot, to emit) { to(float64(sn.Bus().ClockSteps)) }},
	}
}
