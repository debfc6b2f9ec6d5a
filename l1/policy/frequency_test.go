package policy_test

import (
	"iter"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/l1/policy/policytest"
)

func newFrequency() policy.Policy { return policy.NewRecencyFrequency() }

func TestRecencyFrequencyContract(t *testing.T) { policytest.Run(t, newFrequency) }

func TestRecencyFrequencyAgainstModel(t *testing.T) {
	weighted := 0
	policytest.Compare(t, newFrequency, func() policy.Policy {
		return &modelFrequency{weight: policy.NewRecencyFrequency(), uses: map[policy.ID]int{}, weighted: &weighted}
	})
	if weighted < 1000 {
		t.Errorf("uses were worth something at %d victims only: the scripts prove little", weighted)
	}
}

// modelFrequency is the definition: the least of number + weight * log2(uses). What
// the weight is, is not its subject; it asks a policy that is told the same.
type modelFrequency struct {
	modelLRU
	uses     map[policy.ID]int
	weight   *policy.RecencyFrequency
	weighted *int // victims with a weight
}

// counted is how many uses count, as the queues keep them apart.
func counted(uses int) int {
	n := 0
	for _, c := range []int{1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64} {
		if c <= uses {
			n = c
		}
	}
	return n
}

func (m *modelFrequency) Insert(id policy.ID, size int64, salt uint32, at time.Time) {
	m.modelLRU.Insert(id, size, salt, at)
	m.weight.Insert(id, size, salt, at)
	m.uses[id] = 1
}

func (m *modelFrequency) Remove(id policy.ID) {
	m.modelLRU.Remove(id)
	m.weight.Remove(id)
}

func (m *modelFrequency) Pin(id policy.ID) {
	m.modelLRU.Pin(id)
	m.weight.Pin(id)
}

func (m *modelFrequency) Touch(id policy.ID, at time.Time) {
	m.modelLRU.Touch(id, at)
	m.weight.Touch(id, at)
	m.uses[id]++
}

func (m *modelFrequency) Unpin(id policy.ID, read bool, at time.Time) {
	if e := m.entries[id]; e != nil && e.pinned && read {
		m.uses[id]++
	}
	m.modelLRU.Unpin(id, read, at)
	m.weight.Unpin(id, read, at)
}

func (m *modelFrequency) Victims(need policy.Need) iter.Seq[policy.ID] {
	if need.BySalt {
		return func(func(policy.ID) bool) {}
	}
	return func(yield func(policy.ID) bool) {
		m.weight.Victims(need)
		for _, e := range m.entries {
			e.yielded = false
		}
		for best := m.best(); best != 0; best = m.best() {
			m.entries[best].yielded = true
			if !yield(best) {
				return
			}
		}
	}
}

// best is the next victim: the ones that are not blocked first, by score, and of
// equals the one with fewer uses.
func (m *modelFrequency) best() (best policy.ID) {
	if m.weight.Weight() > 0 {
		*m.weighted++
	}
	var least [3]int
	for id, e := range m.entries {
		if e.pinned || e.yielded {
			continue
		}
		uses := counted(m.uses[id])
		log := int(math.Floor(math.Log2(float64(uses)) * 65536))
		rank := [3]int{0, e.seq + int(m.weight.Weight())*log/65536, uses}
		if e.blocked {
			rank[0] = 1
		}
		if best == 0 || before(rank, least) {
			best, least = id, rank
		}
	}
	return best
}

func before(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// cache drives a policy as a manager does, without chains: a use of a name is a hit if
// its entry is there.
type cache struct {
	p    policy.Policy
	room int
	ids  map[uint64]policy.ID
	name []uint64
	free []policy.ID
	hits int
}

func newCache(p policy.Policy, room int) *cache {
	c := &cache{p: p, room: room, ids: map[uint64]policy.ID{}, name: make([]uint64, room+1)}
	for id := room; id > 0; id-- {
		c.free = append(c.free, policy.ID(id))
	}
	return c
}

func (c *cache) use(name uint64) {
	at := time.Time{}
	if id, ok := c.ids[name]; ok {
		c.hits++
		c.p.Touch(id, at)
		return
	}
	if len(c.free) == 0 {
		for id := range c.p.Victims(policy.Need{Bytes: 1}) {
			c.p.Remove(id)
			delete(c.ids, c.name[id])
			c.free = append(c.free, id)
			break
		}
	}
	id := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.ids[name], c.name[id] = id, name
	c.p.Insert(id, 1, 1, at)
	if r, ok := c.p.(policy.Recognizer); ok {
		r.Recognize(id, name*0x9e3779b97f4a7c15)
	}
}

// Where a few come back and most never do, uses are worth much; where what was used
// last is used next, and never what was used most, they are worth nothing.
func TestRecencyFrequencyTunesItself(t *testing.T) {
	const room, uses = 500, 100_000
	shapes := map[string]struct {
		next     func(r *rand.Rand, i int) uint64
		weighted bool
	}{
		"few come back": {func(r *rand.Rand, i int) uint64 {
			if r.IntN(3) == 0 {
				return uint64(r.IntN(400))
			}
			return uint64(1000 + i)
		}, true},
		"what is used moves on": {func(r *rand.Rand, i int) uint64 {
			return uint64(i/20 + r.IntN(480))
		}, false},
	}
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			p := policy.NewRecencyFrequency()
			score, lru := newCache(p, room), newCache(policy.NewLRU(), room)
			r := rand.New(rand.NewPCG(3, 9))
			for i := range uses {
				name := s.next(r, i)
				score.use(name)
				lru.use(name)
			}
			t.Logf("weight %d, hits %.3f, LRU %.3f", p.Weight(), float64(score.hits)/uses, float64(lru.hits)/uses)
			if s.weighted != (p.Weight() > room) {
				t.Errorf("weight %d", p.Weight())
			}
			gain := float64(score.hits-lru.hits) / uses
			if s.weighted && gain < 0.05 || gain < -0.002 {
				t.Errorf("%+.4f beside LRU", gain)
			}
		})
	}
}

// What was used long ago is not remembered, however much it was used.
func TestRecencyFrequencyForgets(t *testing.T) {
	for _, gone := range []int{1000, 100_000} {
		p := policy.NewRecencyFrequency()
		c := newCache(p, 400)
		r := rand.New(rand.NewPCG(1, 1))
		churn := func(n int) {
			for range n {
				if name := uint64(r.IntN(300)); r.IntN(3) == 0 {
					c.use(name)
				} else {
					c.use(r.Uint64())
				}
			}
		}
		churn(20_000)
		const famous = 12345
		for range 50 {
			c.use(famous)
		}
		if id := c.ids[famous]; true { // it is deleted
			p.Remove(id)
			delete(c.ids, famous)
			c.free = append(c.free, id)
		}
		churn(gone)
		c.use(famous)
		if p.Weight() == 0 {
			t.Fatal("uses are worth nothing: the test proves nothing")
		}
		churn(3000) // LRU keeps 400
		_, there := c.ids[famous]
		if want := gone < 16*400; there != want {
			t.Errorf("gone for %d uses: its uses are remembered: %v, want %v", gone, there, want)
		}
	}
}
