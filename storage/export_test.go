package storage

import "github.com/lmcache-go/lmcache/storage/internal/tier"

// QueuedStores is how many entries the queue of a tier's stores has, those included
// that were dropped.
func QueuedStores(m *Manager, tier int) int {
	m.stores.mu.Lock()
	defer m.stores.mu.Unlock()
	return len(m.stores.mu.tiers[tier].queue)
}

// ExpireAsLoadEnds lets the deadline of a prefetch come when its tier has ended a load of
// it, and before the prefetch has heard of that. It is one that loads.
func ExpireAsLoadEnds(p *Prefetch) {
	job := &p.f.loads[0].job
	heard := job.Done
	job.Done = func(j *tier.Job) {
		p.f.c.expire(p.f)
		heard(j)
	}
}
