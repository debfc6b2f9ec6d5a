package observe

import (
	"fmt"
	"math/rand/v2"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// DefaultSampleRate is the share of chunks, blocks and transfers that the
// lifecycle and throughput histograms follow.
const DefaultSampleRate = 0.01

// sampleModulus is the prime that the hash of a key is taken modulo of.
const sampleModulus = 1_000_003

// checkRate says what is wrong with a sample rate, if anything.
func checkRate(rate float64) error {
	if rate > 0 && rate <= 1 {
		return nil
	}
	return fmt.Errorf("sample_rate must be in (0, 1.0], got %v", rate)
}

// sampler decides which keys are in the sample, by their hash alone: the same
// key gets the same answer on every server, after a restart and in replay. It
// keeps the hash of the last model and tenant, which follow each other in runs.
type sampler struct {
	limit       uint64 // residues below it are in the sample
	model, salt string
	names       uint64 // hash of the two
}

func newSampler(rate float64) sampler {
	return sampler{limit: uint64(rate * sampleModulus), names: hashNames("", "")}
}

// namesOf is the hash of model and tenant of k.
func (s *sampler) namesOf(k *kv.Key) uint64 {
	if k.Model != s.model || k.Salt != s.salt {
		s.model, s.salt, s.names = k.Model, k.Salt, hashNames(k.Model, k.Salt)
	}
	return s.names
}

// takes reports whether what has that hash is in the sample.
func (s *sampler) takes(h uint64) bool { return h%sampleModulus < s.limit }

// sampleHash is fmix64(lead XOR names XOR (rank<<32 | group)), lead being the
// first 8 bytes of the chunk hash as a big-endian number.
func sampleHash(lead, names uint64, rank uint32, group uint16) uint64 {
	return fmix64(lead ^ names ^ (uint64(rank)<<32 | uint64(group)))
}

// fmix64 is the 64-bit finalizer of MurmurHash3.
func fmix64(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// FNV-1a of 64 bits.
const (
	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
)

// hashNames is FNV-1a of the model, a zero byte and the tenant.
func hashNames(model, salt string) uint64 {
	h := uint64(fnvOffset)
	for i := range len(model) {
		h = (h ^ uint64(model[i])) * fnvPrime
	}
	h *= fnvPrime
	for i := range len(salt) {
		h = (h ^ uint64(salt[i])) * fnvPrime
	}
	return h
}

// draw samples at random what has no key that could be hashed. The sequence is
// the same in every process, so that equal events give equal metrics.
type draw struct {
	rate float64
	rand *rand.Rand
}

func newDraw(rate float64) draw {
	return draw{rate: rate, rand: rand.New(rand.NewPCG(1, 2))}
}

// wins reports whether one more is in the sample.
func (d *draw) wins() bool { return d.rate >= 1 || d.rand.Float64() < d.rate }
