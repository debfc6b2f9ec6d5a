package lmcache_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// REQ-O52: the seconds of a transfer are those until its copy was done: they never
// promise more than the device can do.
func TestREQ_O52_NeverFasterThanTheDevice(t *testing.T) {
	const seconds = 0.05
	r0 := newRig(t, setup{})
	size := r0.eng.Stats().Workers[0].ObjectBytes * 2 // of two chunks
	rate := fake.Cost{Bandwidth: int64(float64(size) / seconds)}
	var log messages
	r := newRig(t, setup{dev: fake.Options{Gather: rate, Scatter: rate}, engine: func(o *lmcache.Options) { o.Logger = log.logger() }})
	p := tokens(1, 2*chunkTokens)
	r.keep(1, p)
	s := r.session("again")
	m := s.Lookup(t.Context(), p)
	r.found(m)
	r.done(r.worker.Retrieve(t.Context(), m, table(span(0, 2*perChunk)...), nil))
	r.end(s)
	lines := regexp.MustCompile(`(Stored|Retrieved) 32 tokens in (\d+\.\d{3}) seconds`).FindAllStringSubmatch(log.taken(), -1)
	if len(lines) != 2 {
		t.Fatalf("lines %q, want one of a store and one of a retrieve", lines)
	}
	for _, l := range lines {
		if took, err := strconv.ParseFloat(l[2], 64); err != nil || took < seconds-0.001 { // to the millisecond
			t.Errorf("%s: the device takes %v seconds", l[0], seconds)
		}
	}
}
