package tier

import "github.com/lmcache-go/lmcache/storage/kv"

// chain follows a list of keys and remembers, for each rank, the chunk before.
type chain struct {
	model, salt string
	group       uint16
	last        map[uint32]kv.Key // by rank
}

// step is the predecessor of k in the list; the zero key if there is none.
func (c *chain) step(k kv.Key) kv.Key {
	if c.last == nil || c.model != k.Model || c.salt != k.Salt || c.group != k.Group {
		c.model, c.salt, c.group = k.Model, k.Salt, k.Group
		c.last = make(map[uint32]kv.Key, 1)
	}
	prev := c.last[k.Rank]
	c.last[k.Rank] = k
	return prev
}

// Chain gives each key of a list, in order of a prompt, to f with its predecessor.
func Chain(keys []kv.Key, f func(i int, prev kv.Key)) {
	var c chain
	for i, k := range keys {
		f(i, c.step(k))
	}
}
