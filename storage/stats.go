package storage

// tierStats is the state of all tiers.
func (m *Manager) tierStats() []TierStats {
	if len(m.tiers) == 0 {
		return nil
	}
	list := make([]TierStats, len(m.tiers))
	for i, t := range m.tiers {
		s := t.Stats()
		failures := make(map[string]int64, len(s.Failures))
		for why, n := range s.Failures {
			failures[string(why)] = n
		}
		list[i] = TierStats{
			Index: i, Name: t.Name(), Healthy: s.Healthy,
			Breaker: BreakerState(s.Breaker), BreakerRetryIn: s.RetryIn,
			InflightCalls: s.Calls, OldestCall: s.OldestCall, Pins: s.Pins,
			UsedBytes: s.UsedBytes, CapacityBytes: s.Capacity, Objects: s.Objects, BytesBySalt: s.BytesBySalt, ScanComplete: s.Complete,
			WrittenBytes: s.Written, ReadBytes: s.Read, Corrupt: s.Corrupt, FailuresByReason: failures,
		}
	}
	m.stores.mu.Lock()
	for i := range list {
		list[i].InflightStores = m.stores.mu.tiers[i].tasks
	}
	m.stores.mu.Unlock()
	m.fetches.mu.Lock()
	defer m.fetches.mu.Unlock()
	for i := range list {
		list[i].InflightLoads, list[i].InflightLoadBytes = m.fetches.mu.inflight[i], m.fetches.mu.planned[i]
	}
	return list
}
