package observe

import (
	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// snapshot is what the sources said at one scrape. A source that panicked is nil,
// and so are the gauges that need it lost.
type snapshot struct {
	engine  *lmcache.Stats
	storage *storage.Stats
	bus     *eventbus.Stats
}

// read asks every source once.
func (w *watch) read() *snapshot {
	sn := &snapshot{}
	if w.s.Engine != nil {
		if sn.engine = ask(w.s.Engine.Stats); sn.engine != nil {
			sn.storage = &sn.engine.Storage
			w.known.show(sn.engine)
		}
	} else if w.s.Storage != nil {
		sn.storage = ask(w.s.Storage.Stats)
	}
	if w.s.Bus != nil {
		sn.bus = ask(w.s.Bus.Stats)
	}
	return sn
}

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
	if w.s.Engine != nil {
		gs = append(gs, gauge{nameActiveJobs, func(sn *snapshot, to emit) { to(float64(sn.engine.ActivePrefetchJobs)) }})
	}
	if w.s.Engine != nil || w.s.Storage != nil {
		gs = append(gs, l1Gauges()...)
	}
	if w.s.Bus != nil {
		gs = append(gs, busGauges()...)
	}
	return gs
}

func l1Gauges() []gauge {
	of := func(name string, read func(l1.Stats) float64) gauge {
		return gauge{name, func(sn *snapshot, to emit) { to(read(sn.storage.L1)) }}
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
		of(nameL1Watermark, func(s l1.Stats) float64 { return s.Watermark }),
		{nameL1Objects, func(sn *snapshot, to emit) {
			s := sn.storage.L1
			to(float64(s.WritingObjects), stateWriting)
			to(float64(s.Objects-s.ReadingObjects), stateReady)
			to(float64(s.ReadingObjects), stateReading)
		}},
	}
}

func busGauges() []gauge {
	return []gauge{
		{nameBusDepth, func(sn *snapshot, to emit) { to(float64(sn.bus.Bulk.Events + sn.bus.Reserved.Events)) }},
		{nameBusLag, func(sn *snapshot, to emit) { to(sn.bus.Lag.Seconds()) }},
		{nameBusDropped, func(sn *snapshot, to emit) { to(float64(sn.bus.Dropped)) }},
		{nameBusExceptions, func(sn *snapshot, to emit) {
			for name, n := range sn.bus.Panics {
				to(float64(n), name)
			}
		}},
		{nameBusDroppedByType, func(sn *snapshot, to emit) {
			for _, t := range sn.bus.Types {
				to(float64(t.Dropped), t.Name, t.Class.String())
				if t.IsolatedDropped > 0 {
					to(float64(t.IsolatedDropped), t.Name, "isolated")
				}
			}
		}},
		{nameBusLimit, func(sn *snapshot, to emit) {
			to(float64(sn.bus.Bulk.EventLimit), eventbus.Bulk.String())
			to(float64(sn.bus.Reserved.EventLimit), eventbus.Reserved.String())
		}},
		{nameClockSteps, func(sn *snapshot, to emit) { to(float64(sn.bus.ClockSteps)) }},
	}
}
