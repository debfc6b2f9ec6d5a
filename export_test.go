package lmcache

import (
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// SetBatch changes how many objects a worker copies between two events. No
// transfer of the worker may be running.
func SetBatch(w *Worker, objects int) { w.batch = objects }

// Storage is the manager under an engine.
func Storage(e *Engine) *storage.Manager { return e.sm }

// Keys are the keys of a prompt's full chunks in one object group, all ranks.
func Keys(s *Session, tokens []int32, group uint16) []kv.Key {
	k, _, _, err := s.e.resolve(s.r.Model, s.r.WorldSize)
	if err != nil {
		panic(err)
	}
	keys, err := s.request(k, kv.AllWorkers).AppendKeys(nil, group, s.hash(tokens).Hashes())
	if err != nil {
		panic(err)
	}
	return keys
}

// DescribeGroups tells how a paged cache is divided into objects: kernel groups, and
// the window in chunks.
func DescribeGroups(cache *gpu.Paged, tables []EngineGroup, chunk int, separate bool) ([]string, error) {
	groups, err := objectGroups(cache, tables, chunk, separate)
	var out []string
	for i := range groups {
		text := ""
		for _, p := range groups[i].parts {
			text += strconv.Itoa(p.group) + " "
		}
		window := "all"
		if w := groups[i].window; w > 0 {
			window = strconv.Itoa(w)
		}
		out = append(out, strings.TrimSpace(text)+": "+window)
	}
	return out, err
}

// Ring looks after a session, as its alarm does.
func Ring(s *Session, now time.Time) { s.ring(now) }

// Hold makes a match's result one that is still awaited, until it is let go.
func Hold(m *Match) (letGo func()) {
	planned := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.planned = planned
	return func() { close(planned) }
}

// Expire drops what a session's lookup holds, as its idle time does.
func Expire(s *Session) { s.expire(s.current()) }
