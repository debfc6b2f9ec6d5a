package kv_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The hash is fixed: these values hold in every process and for every version.
func TestREQ_O18_vectors(t *testing.T) {
	for _, c := range []struct {
		hash, model, salt string
		rank              uint32
		group             uint16
		h, residue        uint64
	}{
		{"0102", "m", "", 0, 0, 0xf2896c47330e4398, 614003},
		{"0102030405060708090a", "meta-llama/Llama-3.1-8B", "tenant-a", 0x01000100, 0, 0xe486b41f72feb0e4, 876123},
		{"0102030405060708090a", "meta-llama/Llama-3.1-8B", "tenant-a", 0x04020402, 1, 0x2753fc84fbb37575, 687802},
	} {
		hash, err := kv.ParseHash(c.hash)
		if err != nil {
			t.Fatal(err)
		}
		s := kv.NewSampler(1)
		k := kv.Key{Hash: hash, Model: c.model, Salt: c.salt, Rank: c.rank, Group: c.group}
		h := kv.SampleHash(k.Hash.Lead(), s.Names(&k), k.Rank, k.Group)
		if h != c.h || h%kv.SampleModulus != c.residue {
			t.Errorf("%v: hash %x mod %d, want %x mod %d", k, h, h%kv.SampleModulus, c.h, c.residue)
		}
		limited := func(n uint64) kv.Sampler { return kv.NewSampler((float64(n) + 0.5) / kv.SampleModulus) }
		below, above := limited(c.residue), limited(c.residue+1)
		if below.Takes(h) || !above.Takes(h) {
			t.Errorf("%v: the limit is not at its residue", k)
		}
	}
}
