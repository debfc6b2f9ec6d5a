package tier

import (
	"sync"

	"github.com/lmcache-go/lmcache/l2"
)

// Sum remembers the checksum of an object that several tiers store, or that one
// tries to store several times. It is safe for concurrent use.
type Sum struct {
	xxh3, crc once
}

type once struct {
	sync.Once
	sum uint64
}

// of is the checksum of data, which is always the same.
func (s *Sum) of(c l2.Checksum, data []byte) uint64 {
	if s == nil || c == l2.NoChecksum {
		return c.Sum(data)
	}
	o := &s.xxh3
	if c == l2.CRC32C {
		o = &s.crc
	}
	o.Do(func() { o.sum = c.Sum(data) })
	return o.sum
}
