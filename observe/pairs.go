package observe

import "time"

// pairs remembers the start of sampled operations until they end, at most
// [MaxPendingTransfers] and for [MaxPendingAge]. Losers of the draw leave nothing.
type pairs[K comparable] struct {
	open  aged[K, begun]
	given *bound
}

// begun is one operation that has not ended.
type begun struct {
	at    time.Time
	bytes int64 // that it is to move; 0: not known
}

func newPairs[K comparable](given *bound) pairs[K] {
	return pairs[K]{open: newAged[K, begun](MaxPendingTransfers), given: given}
}

// start replaces what has the same key and has not ended.
func (p *pairs[K]) start(k K, b begun, d *draw) {
	if !d.wins() {
		p.open.remove(k)
		return
	}
	p.given.count(p.open.put(k, b))
}

// end returns the start; false if it is not in the sample.
func (p *pairs[K]) end(k K) (b begun, ok bool) {
	if v := p.open.get(k); v != nil {
		b, ok = *v, true
		p.open.remove(k)
	}
	return b, ok
}

// sweep gives up what is too old.
func (p *pairs[K]) sweep(now time.Time) {
	for {
		k, b, ok := p.open.oldest()
		if !ok || now.Sub(b.at) < MaxPendingAge {
			break
		}
		p.open.remove(k)
		p.given.count(true)
	}
	p.given.flush()
}

// gigabytes records what a session, which may be empty, moved between start and end,
// in GB/s of 10⁹ bytes; nothing if none were moved or no time passed.
func (h *histogram) gigabytes(session string, bytes int64, start, end time.Time, k values) {
	if d := end.Sub(start); bytes > 0 && d > 0 {
		h.recordFor(session, float64(bytes)/d.Seconds()/1e9, k)
	}
}
