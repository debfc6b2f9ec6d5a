package lmcache_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
)

// belief is what the model knows of a chunk.
type belief uint8

const (
	absent belief = iota
	maybe         // a clear may have removed it
	present
)

// hostModel is an engine with remote hosts as its clients see it.
type hostModel struct {
	*hostRig

	rng      *rand.Rand
	prompts  [][]int32
	chunks   map[string]belief
	staged   map[string]*modelStore // by whom a chunk is being written
	sessions []lmcache.Request
	hosts    []*modelHost
	reads    []*modelRead
	stores   []*modelStore
	next     int
}

type modelHost struct {
	id     int64
	h      *lmcache.HostWorker
	pinged time.Time
}

type modelRead struct {
	in         *lmcache.HostRead
	h          *modelHost
	w          *lmcache.HostWorker
	k          lmcache.HostKey
	seed, from int
	to         int
	at         time.Time
}

type modelStore struct {
	st    *lmcache.HostStore
	w     *lmcache.HostWorker
	h     *modelHost
	k     lmcache.HostKey
	seed  int
	names []string
	at    time.Time
}

// TestREQ_E16_HostOps: random lookups, polls, frees, prepares, commits, aborts, ends,
// detaches, clears and time that passes find and deliver what a plain map says, every
// byte right, and leave no holder, no staging and no job behind.
func TestREQ_E16_HostOps(t *testing.T) {
	for seed := range uint64(60) {
		r := newHostRig(t, func(o *lmcache.Options) {
			o.SessionTTL, o.ReapTimeout, o.RegistrationGrace = 100*time.Second, 30*time.Second, 900*time.Second
		})
		m := &hostModel{
			hostRig: r, rng: newRand(seed), chunks: make(map[string]belief), staged: make(map[string]*modelStore),
			prompts: [][]int32{tokens(0, 5*chunkTokens+3), tokens(1, 3*chunkTokens), tokens(2, 6*chunkTokens)},
		}
		for id := range int64(2) {
			m.hosts = append(m.hosts, &modelHost{id: id})
		}
		for range 150 {
			m.step()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		m.finish()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (m *hostModel) step() {
	if len(m.sessions) == 0 || len(m.sessions) < 4 && m.rng.IntN(6) == 0 {
		m.next++
		m.sessions = append(m.sessions, lmcache.Request{ID: fmt.Sprint("s", m.next), Model: model, WorldSize: 1, Readers: 1 + m.rng.IntN(2)})
	}
	h := m.hosts[m.rng.IntN(len(m.hosts))]
	i := m.rng.IntN(len(m.sessions))
	req := m.sessions[i]
	seed := m.rng.IntN(len(m.prompts))
	full := len(m.prompts[seed]) / chunkTokens
	to := m.rng.IntN(full + 1)
	k := lmcache.HostKey{Request: req, Tokens: m.prompts[seed], Start: m.rng.IntN(to+1) * chunkTokens, End: to * chunkTokens}
	switch m.rng.IntN(16) {
	case 0, 1:
		m.lookup(req, seed)
	case 2:
		if s := m.eng.FindSession(req); s != nil && s.Match() != nil {
			m.found(s.Match())
		}
	case 3:
		if s := m.eng.FindSession(req); s != nil && s.Match() != nil {
			s.Match().Release(m.rng.IntN(100)-10, m.rng.IntN(120)-10)
		}
	case 4, 5:
		m.read(h, k, seed)
	case 6:
		m.endRead()
	case 7, 8, 9:
		m.prepare(h, k, seed)
	case 10:
		m.commit()
	case 11:
		m.data(h, k, seed)
	case 12:
		m.wipe(m.rng.IntN(3) == 0)
	case 13:
		if err := m.eng.EndSession(req.ID); err != nil {
			m.Error(err)
		}
		m.sessions = append(m.sessions[:i], m.sessions[i+1:]...)
	case 14:
		if err := m.eng.Detach(m.Context(), h.id); err != nil {
			m.Error(err)
		}
	case 15:
		m.wait([]time.Duration{time.Second, 35 * time.Second, 150 * time.Second, 700 * time.Second}[m.rng.IntN(4)])
		h.pinged = m.rt.Now()
		m.eng.Ping(h.id)
	}
	if err := m.eng.Check(); err != nil {
		m.Error(err)
	}
}

func (m *hostModel) name(seed, chunk int) string {
	return fmt.Sprint(seed, "/", chunk)
}

// worker is the host's worker, registered anew if it is gone.
func (m *hostModel) worker(h *modelHost) *lmcache.HostWorker {
	m.Helper()
	if got, err := m.eng.Host(h.id); err == nil {
		return got
	} else if m.rt.Now().Sub(h.pinged) == 0 && h.h != nil && m.eng.Ping(h.id) {
		m.Error("a worker that has just pinged is gone")
	}
	h.h = m.attach(lmcache.HostOptions{Instance: &h.id, Shared: h.id == 1})
	return h.h
}

// alive reports whether what a store or read holds must still be there; unsure: it
// may be.
func (m *hostModel) alive(h *modelHost, w *lmcache.HostWorker, at time.Time, ttl time.Duration) (is, unsure bool) {
	now, err := m.eng.Host(h.id)
	age := m.rt.Now().Sub(at)
	return err == nil && now == w && age < ttl, age >= ttl && age <= ttl+2*time.Second
}

// writing reports whether somebody is writing a chunk.
func (m *hostModel) writing(name string) (is, unsure bool) {
	st := m.staged[name]
	if st == nil {
		return false, false
	}
	return m.alive(st.h, st.w, st.at, l1.DefaultWriteTTL)
}

func (m *hostModel) lookup(req lmcache.Request, seed int) {
	n, err := m.eng.OpenSession(req).Lookup(m.Context(), m.prompts[seed]).Chunks(m.Context())
	if err != nil {
		m.Fatal(err)
	}
	if len(m.eng.Stats().HostWorkers) == 0 {
		return // no model
	}
	for c := range n {
		if m.chunks[m.name(seed, c)] == absent {
			m.Errorf("chunk %d of prompt %d is found, and nobody wrote it", c, seed)
		}
		m.chunks[m.name(seed, c)] = present
	}
	if next := m.name(seed, n); n < len(m.prompts[seed])/chunkTokens {
		if m.chunks[next] == present {
			m.Errorf("chunk %d of prompt %d is not found", n, seed)
		}
		m.chunks[next] = absent
	}
}

func (m *hostModel) read(h *modelHost, k lmcache.HostKey, seed int) {
	w := m.worker(h)
	in, err := w.PrepareRetrieveKey(m.Context(), k)
	if err != nil {
		m.Fatal(err)
	}
	from, to := k.Start/chunkTokens, k.End/chunkTokens
	if in.Success() && from < to {
		r := &modelRead{in, h, w, k, seed, from, to, m.rt.Now()}
		m.verify(r)
		m.reads = append(m.reads, r)
	}
}

// verify: a read that is lent has the bytes that were stored.
func (m *hostModel) verify(r *modelRead) {
	if is, _ := m.alive(r.h, r.w, r.at, l1.DefaultReadTTL); is && len(r.in.Slots()) > 0 {
		same(m.T, r.in, uint64(r.seed), r.from, r.to)
	}
}

func (m *hostModel) endRead() {
	if len(m.reads) == 0 {
		return
	}
	i := m.rng.IntN(len(m.reads))
	r := m.reads[i]
	m.reads = append(m.reads[:i], m.reads[i+1:]...)
	m.verify(r)
	if m.rng.IntN(2) == 0 {
		r.in.Done()
	} else if w, err := m.eng.Host(r.h.id); err == nil {
		if err := w.CommitRetrieve(r.k); err != nil {
			m.Error(err)
		}
	}
}

func (m *hostModel) prepare(h *modelHost, k lmcache.HostKey, seed int) {
	w := m.worker(h)
	st, err := w.PrepareStoreKey(m.Context(), k)
	if err != nil {
		m.Fatal(err)
	}
	for _, old := range m.stores {
		if old.st == st {
			return // the same one again
		}
	}
	s := &modelStore{st: st, w: w, h: h, k: k, seed: seed, at: m.rt.Now()}
	granted := make(map[int]bool)
	for i := range st.All() {
		granted[i] = true
	}
	for c := k.Start / chunkTokens; c < k.End/chunkTokens; c++ {
		name := m.name(seed, c)
		busy, unsure := m.writing(name)
		switch got := granted[c-k.Start/chunkTokens]; {
		case got && m.chunks[name] == present:
			m.Errorf("chunk %s is present and is to be written", name)
		case got && busy && !unsure:
			m.Errorf("chunk %s is being written twice", name)
		case got:
			m.chunks[name], m.staged[name] = absent, s
			s.names = append(s.names, name)
		case m.chunks[name] == absent && !busy && !unsure:
			m.Errorf("chunk %s is absent and is not to be written", name)
		case m.chunks[name] == maybe && !busy && !unsure:
			m.chunks[name] = present
		}
	}
	if len(s.names) > 0 {
		fill(st, uint64(seed), k.Start/chunkTokens)
		m.stores = append(m.stores, s)
	}
}

// commit ends a store somehow.
func (m *hostModel) commit() {
	if len(m.stores) == 0 {
		return
	}
	i := m.rng.IntN(len(m.stores))
	s := m.stores[i]
	m.stores = append(m.stores[:i], m.stores[i+1:]...)
	alive, unsure := m.alive(s.h, s.w, s.at, l1.DefaultWriteTTL)
	for _, name := range s.names {
		alive = alive && m.staged[name] == s // no forced clear
	}
	ok := false
	switch m.rng.IntN(3) {
	case 0:
		s.st.Abort()
		if s.st.Commit() == nil {
			m.Error("a commit after an abort succeeds")
		}
		alive = false
	case 1:
		ok = s.st.Commit() == nil
		if ok != (s.st.Commit() == nil) {
			m.Error("the second commit is another")
		}
	case 2:
		if w, err := m.eng.Host(s.h.id); err == nil && w == s.w {
			if ok, err = w.CommitStore(m.Context(), s.k); err != nil {
				m.Error(err)
			}
		} else {
			ok = s.st.Commit() == nil
		}
	}
	if ok != alive && !unsure {
		m.Errorf("commit of %v: %v, want %v", s.names, ok, alive)
	}
	for _, name := range s.names {
		if m.staged[name] == s {
			delete(m.staged, name)
			if ok {
				m.chunks[name] = present
			}
		}
	}
}

// data commits with data: what is not being written by another is present then.
func (m *hostModel) data(h *modelHost, k lmcache.HostKey, seed int) {
	if k.Start == k.End {
		return
	}
	w := m.worker(h)
	for i, s := range m.stores { // it uses what is pending under its key
		if w == s.w && s.k.Request.ID == k.Request.ID && s.seed == seed && s.k.Start == k.Start && s.k.End == k.End {
			m.stores = append(m.stores[:i:i], m.stores[i+1:]...)
			for _, name := range s.names {
				if m.staged[name] == s {
					delete(m.staged, name)
				}
			}
			break
		}
	}
	want, sure := true, true // nothing that another is still writing
	for c := k.Start / chunkTokens; c < k.End/chunkTokens; c++ {
		busy, unsure := m.writing(m.name(seed, c))
		want, sure = want && !busy, sure && !unsure
	}
	ok, err := w.CommitStoreData(m.Context(), k, tensorsOf(uint64(seed), k.Start/chunkTokens, k.End/chunkTokens))
	if err != nil || sure && ok != want {
		m.Errorf("data: %v, %v, want %v", ok, err, want)
	}
	for c := k.Start / chunkTokens; c < k.End/chunkTokens; c++ {
		name := m.name(seed, c)
		if busy, unsure := m.writing(name); !busy && !unsure {
			m.chunks[name] = present
		} else if unsure {
			m.chunks[name] = maybe
		}
	}
}

// wipe clears.
func (m *hostModel) wipe(force bool) {
	m.clear(force)
	for name, b := range m.chunks {
		if force || b == absent {
			m.chunks[name] = absent
		} else {
			m.chunks[name] = maybe
		}
	}
	if force {
		clear(m.staged)
	}
}

// finish ends everything in some order; nothing may be left.
func (m *hostModel) finish() {
	m.Helper()
	for _, req := range m.sessions {
		if err := m.eng.EndSession(req.ID); err != nil {
			m.Error(err)
		}
	}
	for _, h := range m.hosts {
		if err := m.eng.Detach(m.Context(), h.id); err != nil {
			m.Error(err)
		}
	}
	if m.staged, m.reads = nil, nil; m.eng.Stats().Storage.L1.WritingObjects != 0 || m.leased() != 0 {
		m.Errorf("%d staged, %d leased", m.eng.Stats().Storage.L1.WritingObjects, m.leased())
	}
	m.wait(l1.DefaultWriteTTL + 2*time.Second)
	m.idle()
	oneEnd(m.T, m.events())
	m.shut()
}
