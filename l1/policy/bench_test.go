package policy

import (
	"strconv"
	"testing"
	"time"
)

// BenchmarkVictims finds all of a thousand free entries among a million that are
// pinned (REQ-S37: at most 50 us), or parked.
func BenchmarkVictims(b *testing.B) {
	const held, free = 1_000_000, 1000
	at := time.Time{}
	states := []struct {
		name string
		hold func(*LRU, ID)
	}{
		{"pinned", (*LRU).Pin},
		{"parked", (*LRU).Block},
	}
	for _, s := range states {
		b.Run(s.name, func(b *testing.B) {
			p := NewLRU()
			for id := ID(1); id <= held+free; id++ {
				p.Insert(id, 1, 1, at)
			}
			for id := ID(1); id <= held; id++ {
				s.hold(p, id)
			}
			n := 0
			count := func(ID) bool { n++; return n%free != 0 }
			p.Victims(Need{Bytes: free})(count)
			b.ReportAllocs()
			for b.Loop() {
				p.Victims(Need{Bytes: free})(count)
			}
		})
	}
}

// BenchmarkReplace evicts the first victim of a million entries and inserts another.
func BenchmarkReplace(b *testing.B) {
	const n = 1_000_000
	at := time.Time{}
	for name, p := range map[string]Policy{"LRU": NewLRU(), "RecencyFrequency": NewRecencyFrequency()} {
		b.Run(name, func(b *testing.B) {
			r, _ := p.(Recognizer)
			insert := func(id ID, name uint64) {
				p.Insert(id, 1, 1, at)
				if r != nil {
					r.Recognize(id, name*0x9e3779b97f4a7c15)
				}
			}
			for i := range ID(n) {
				insert(1+i*7919%n, uint64(i))
			}
			var victim ID
			first := func(id ID) bool { victim = id; return false }
			name := uint64(n)
			b.ReportAllocs()
			for b.Loop() {
				p.Victims(Need{Bytes: 1})(first)
				p.Remove(victim)
				insert(victim, name)
				name++
			}
		})
	}
}

// BenchmarkRead pins and releases random ones of a million entries in chains.
func BenchmarkRead(b *testing.B) {
	const n = 1_000_000
	for _, read := range []bool{true, false} {
		name := "unused"
		if read {
			name = "used"
		}
		b.Run(name, func(b *testing.B) {
			at := time.Time{}
			p := NewLRU()
			for i := range ID(n) {
				p.Insert(1+i, 1, 1, at)
				if i%10 != 0 {
					p.Block(1 + i)
				}
			}
			b.ReportAllocs()
			for i := ID(0); b.Loop(); i++ {
				id := 1 + i*7919%n
				p.Pin(id)
				p.Unpin(id, read, at)
			}
		})
	}
}

// BenchmarkFallback evicts a million blocked entries, oldest first.
func BenchmarkFallback(b *testing.B) {
	const n = 1_000_000
	at := time.Time{}
	p := NewLRU()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range ID(n) {
			p.Insert(1+i*7919%n, 1, 1, at)
			p.Block(1 + i*7919%n)
		}
		b.StartTimer()
		for id := range p.Victims(Need{Bytes: n}) {
			p.Remove(id)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
}

// BenchmarkIsolatedVictims is the search for one victim among a million entries of
// so many tenants.
func BenchmarkIsolatedVictims(b *testing.B) {
	const n = 1_000_000
	at := time.Time{}
	for _, tenants := range []uint32{0, 10, 100, 1000} {
		b.Run(strconv.Itoa(int(tenants)), func(b *testing.B) {
			p := NewIsolatedLRU()
			for salt := range tenants {
				p.Isolate(1 + salt)
			}
			for i := range ID(n) {
				p.Insert(1+i*7919%n, 1, 1+i%max(1, tenants), at)
			}
			var victim ID
			first := func(id ID) bool { victim = id; return false }
			b.ReportAllocs()
			for b.Loop() {
				p.Victims(Need{Bytes: 1})(first)
				p.Remove(victim)
				p.Insert(victim, 1, 1+victim%max(1, tenants), at)
			}
		})
	}
}
