package lmcache_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache"
)

// TestREQ_E32_HostStoreLosesItsLease: a reservation that expires or is cleared away
// before, in the middle of and after the host's copy is not committed; what the host
// writes afterwards reaches nobody (REQ-S2), and another stores the same chunks.
func TestREQ_E32_HostStoreLosesItsLease(t *testing.T) {
	const n = 4
	prompt := tokens(1, n*chunkTokens)
	for name, lose := range losses {
		for _, filled := range []int{0, 2, n} {
			for _, stolen := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d filled, stolen %v", name, filled, stolen), func(t *testing.T) {
					r := newHostRig(t, shortLived, func(o *lmcache.Options) { o.L1.Bytes = 24 * objectBytes })
					s := r.session("a")
					st := r.prepare(s, prompt, 0, n)
					var late [][]byte
					for i, b := range st.All() {
						if i < filled {
							copy(b, object(1, i))
						} else {
							late = append(late, b)
						}
					}
					lose(t, r.eng, r.wait)
					if r.staged() != 0 || r.hits(prompt) != 0 {
						t.Errorf("%d objects are staged, %d chunks readable after the loss", r.staged(), r.hits(prompt))
					}
					if stolen {
						r.keep(2, prompt)
					}
					for _, b := range late { // the host knows nothing of it
						copy(b, object(1, filled))
					}
					if err := st.Commit(); !errors.Is(err, lmcache.ErrLost) {
						t.Errorf("commit: %v", err)
					}
					if got := r.hits(prompt); !stolen && got != 0 || stolen && got != n {
						t.Errorf("%d chunks are readable after the commit", got)
					}
					r.idle()
					if !stolen {
						r.keep(2, prompt)
					}
					in := r.read(s.Lookup(t.Context(), prompt), 0, n)
					same(t, in, 2, 0, n)
					in.Done()
					r.end(s)
					r.idle()
					oneEnd(t, r.events())
				})
			}
		}
	}
}

// TestREQ_E32_HostReadLosesItsLease: whatever a reading host loses, the buffers keep
// their bytes until it is done; before it has them, all of them are right or it is a
// miss.
func TestREQ_E32_HostReadLosesItsLease(t *testing.T) {
	const n = 4
	prompt := tokens(1, n*chunkTokens)
	for name, lose := range losses {
		for _, point := range []string{"before", "lookup", "lent", "half"} {
			t.Run(name+", "+point, func(t *testing.T) {
				r := newHostRig(t, shortLived, func(o *lmcache.Options) { o.L1.Bytes = 24 * objectBytes })
				r.keep(1, prompt)
				s := r.session("a")
				at := func(p string) {
					if p == point {
						lose(t, r.eng, r.wait)
					}
				}
				at("before")
				m := s.Lookup(t.Context(), prompt)
				at("lookup")
				if found := r.found(m) / chunkTokens; point != "before" || name == "expiry" {
					in := r.read(m, 0, n)
					if want := point == "lent" || point == "half" || name == "expiry"; in.Success() != want {
						t.Fatalf("success %v, want %v", in.Success(), want)
					}
					at("lent")
					if in.Success() {
						same(t, in, 1, 0, n)
						at("half")
						same(t, in, 1, 0, n)
					}
					for i := range in.All() {
						if !in.Success() {
							t.Errorf("a miss lends chunk %d", i)
						}
					}
					in.Done()
				} else if found != 0 {
					t.Errorf("%d chunks found of what was lost before", found)
				}
				r.end(s)
				r.idle()
				oneEnd(t, r.events())
			})
		}
	}
}
