package observe

// loopGauges is the age of every background loop's progress.
func (w *watch) loopGauges() []gauge {
	return []gauge{{nameLoops, func(sn *snapshot, to emit) {
		for _, l := range w.loops(sn) {
			to(l.Stalled.Seconds(), l.Name)
		}
	}}}
}

// seriesGauge is how many series there are. It comes last.
func (w *watch) seriesGauge() gauge {
	return gauge{nameSeries, func(_ *snapshot, to emit) {
		total := make(map[string]int)
		w.labels.census.each(func(name string, lines int) { total[name] = lines })
		for _, o := range w.observables() {
			if o.name != nameSeries {
				total[o.name] = int(o.seen.Load())
			}
		}
		for name, lines := range total {
			if lines > 0 {
				to(float64(lines), name)
			}
		}
	}}
}

// spanGauges are the spans that were given up.
func (w *watch) spanGauges() []gauge {
	return []gauge{{nameSpansLeaked, func(_ *snapshot, to emit) {
		leaked := make(map[string]uint64)
		for _, s := range w.s.Spans {
			for kind, n := range s.Stats().Leaked {
				leaked[kind] += n
			}
		}
		for kind, n := range leaked {
			to(float64(n), kind)
		}
	}}}
}

// recorderGauges are what became of recorded calls.
func (w *watch) recorderGauges() []gauge {
	return []gauge{
		{nameTraceWritten, func(_ *snapshot, to emit) {
			written, _ := w.s.Recorder.Records()
			to(float64(written))
		}},
		{nameTraceDropped, func(_ *snapshot, to emit) {
			_, dropped := w.s.Recorder.Records()
			for reason, n := range dropped {
				to(float64(n), reason)
			}
		}},
	}
}
