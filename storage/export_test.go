package storage

// QueuedStores is how many entries the queue of a tier's stores has, those included
// that were dropped.
func QueuedStores(m *Manager, tier int) int {
	m.stores.mu.Lock()
	defer m.stores.mu.Unlock()
	return len(m.stores.mu.tiers[tier].queue)
}
