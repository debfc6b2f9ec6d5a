package replay

import "github.com/lmcache-go/lmcache/storage/kv"

// departures finds when and why a key left L1 last. Few of the many that leave are asked
// for, so it keeps the lists of keys as they come, and where a key is in them by a
// fingerprint of it alone. The zero value is ready.
type departures struct {
	names kv.Names
	list  []departure
	size  int              // keys in it
	last  map[uint64]place // by fingerprint, of the key that left last
	other map[kv.Key]place // keys that left before another one of their fingerprint
}

// departure is of keys that left together.
type departure struct {
	keys []kv.Key // belong to others, who do not change them
	eviction
}

// place is that of a key in a departure.
type place struct{ departure, pos uint32 }

// garbage is how many keys in the list, besides one for each that counts, may have left
// again since.
const garbage = 1 << 16

func (d *departures) add(keys []kv.Key, e eviction) {
	if d.size > 2*(len(d.last)+len(d.other))+garbage {
		d.collect()
	}
	if d.last == nil {
		d.last = make(map[uint64]place)
	}
	n := uint32(len(d.list))
	d.list = append(d.list, departure{keys, e})
	d.size += len(keys)
	for i := range keys {
		fp := d.fingerprint(&keys[i])
		if p, ok := d.last[fp]; ok && *d.key(p) != keys[i] {
			if d.other == nil {
				d.other = make(map[kv.Key]place)
			}
			d.other[*d.key(p)] = p
		}
		d.last[fp] = place{n, uint32(i)}
	}
}

// collect forgets what came before the last departure of each key.
func (d *departures) collect() {
	var left departures
	for n := range d.list {
		var keys []kv.Key
		for pos, k := range d.list[n].keys {
			p := place{uint32(n), uint32(pos)}
			if d.last[d.fingerprint(&k)] == p || d.other[k] == p {
				keys = append(keys, k)
			}
		}
		if len(keys) > 0 {
			left.add(keys, d.list[n].eviction)
		}
	}
	*d = left
}

// of is the last departure of a key; nil if it never left.
func (d *departures) of(k *kv.Key) *eviction {
	p, ok := d.last[d.fingerprint(k)]
	if ok && *d.key(p) != *k {
		p, ok = d.other[*k]
	}
	if !ok {
		return nil
	}
	return &d.list[p.departure].eviction
}

func (d *departures) key(p place) *kv.Key { return &d.list[p.departure].keys[p.pos] }

func (d *departures) fingerprint(k *kv.Key) uint64 {
	return kv.SampleHash(k.Hash.Lead(), d.names.Of(k), k.Rank, k.Group)
}
