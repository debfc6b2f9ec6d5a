package curve

import (
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// sampleModulus is the prime that the hash of a key is taken modulo of.
const sampleModulus = 1_000_003

// CheckSample says what is wrong with a rate of sampling, if anything.
func CheckSample(rate float64) error {
	if rate > 0 && rate <= 1 {
		return nil
	}
	return fmt.Errorf("must be above 0 and at most 1, got %v", rate)
}

// sampler decides by the hash of a key whether it is in the sample, as the metrics of
// lifecycles do: the same key is in both.
type sampler struct {
	limit       uint64 // residues below it are in the sample
	model, salt string
	names       uint64 // hash of the two
}

func newSampler(rate float64) sampler {
	return sampler{limit: uint64(rate * sampleModulus), names: hashNames("", "")}
}

func (s *sampler) takes(k *kv.Key) bool {
	if s.limit >= sampleModulus {
		return true
	}
	if k.Model != s.model || k.Salt != s.salt {
		s.model, s.salt, s.names = k.Model, k.Salt, hashNames(k.Model, k.Salt)
	}
	return s.hash(k)%sampleModulus < s.limit
}

// hash is fmix64(lead XOR names XOR (rank<<32 | group)), lead being the first 8 bytes
// of the chunk's hash as a big-endian number.
func (s *sampler) hash(k *kv.Key) uint64 {
	return fmix64(k.Hash.Lead() ^ s.names ^ (uint64(k.Rank)<<32 | uint64(k.Group)))
}

// fmix64 is the 64-bit finalizer of MurmurHash3.
func fmix64(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// hashNames is FNV-1a of 64 bits of the model, a zero byte and the tenant.
func hashNames(model, salt string) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3
	h := uint64(offset)
	for i := range len(model) {
		h = (h ^ uint64(model[i])) * prime
	}
	h *= prime // the zero byte
	for i := range len(salt) {
		h = (h ^ uint64(salt[i])) * prime
	}
	return h
}
