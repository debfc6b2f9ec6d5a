package storage

import (
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// sink publishes what a tier tells.
type sink struct {
	m       *Manager
	index   int
	name    string
	state   eventbus.Topic[L2AdapterState]
	evicted eventbus.Topic[L2KeysEvicted]
	stored  eventbus.Topic[L2KeysStored]
	deleted eventbus.Topic[L2KeysDeleted]
	corrupt eventbus.Topic[L2ObjectCorrupt]
}

func (s *sink) open() {
	b := s.m.o.Bus
	s.state = eventbus.TopicOf[L2AdapterState](b)
	s.evicted = eventbus.TopicOf[L2KeysEvicted](b)
	s.stored = eventbus.TopicOf[L2KeysStored](b)
	s.deleted = eventbus.TopicOf[L2KeysDeleted](b)
	s.corrupt = eventbus.TopicOf[L2ObjectCorrupt](b)
}

// StateChanged publishes a change of the breaker.
func (s *sink) StateChanged(from, to tier.State, reason string, at time.Time) {
	s.state.PublishAt(L2AdapterState{AdapterIndex: s.index, L2Name: s.name, From: BreakerState(from), To: BreakerState(to), Reason: reason}, at)
}

// Evicted publishes an eviction.
func (s *sink) Evicted(keys []kv.Key, bytes int64, at time.Time) {
	if s.evicted.Active() {
		s.evicted.PublishAt(L2KeysEvicted{
			AdapterIndex: s.index, L2Name: s.name, KeyCount: len(keys), KeyCountPerSalt: perSalt(keys), Bytes: bytes,
		}, at)
	}
}

// Stored publishes what is new in the tier.
func (s *sink) Stored(keys []kv.Key, sizes []int64, at time.Time) {
	if s.stored.Active() {
		s.stored.PublishAt(L2KeysStored{AdapterIndex: s.index, L2Name: s.name, Keys: keys, Sizes: sizes}, at)
	}
}

// Deleted publishes what has left the tier.
func (s *sink) Deleted(keys []kv.Key, sizes []int64, cause tier.Cause, at time.Time) {
	if s.deleted.Active() {
		s.deleted.PublishAt(L2KeysDeleted{AdapterIndex: s.index, L2Name: s.name, Keys: keys, Sizes: sizes, Cause: string(cause)}, at)
	}
}

// Corrupt publishes a failed verification.
func (s *sink) Corrupt(keys []kv.Key, check string, at time.Time) {
	s.corrupt.PublishAt(L2ObjectCorrupt{AdapterIndex: s.index, L2Name: s.name, Keys: keys, Check: check}, at)
}

// Room lets waiting stores begin.
func (s *sink) Room() { s.m.stores.room() }

// perSalt counts keys by tenant.
func perSalt(keys []kv.Key) map[string]int {
	n := make(map[string]int)
	for i := range keys {
		n[keys[i].Salt]++
	}
	return n
}
