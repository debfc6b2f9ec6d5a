package kv

// SampleModulus is the prime that the hash of a key is taken modulo of.
const SampleModulus = 1_000_003

// Sampler decides which keys are in a sample, by their hash alone: the same key gets
// the same answer in every process, after a restart and in a replay. It belongs to one
// goroutine at a time, as its [Names] do.
type Sampler struct {
	limit uint64 // residues below it are in the sample
	names Names
}

// NewSampler returns the sampler of a share of all keys, above 0 and at most 1.
func NewSampler(rate float64) Sampler {
	return Sampler{limit: uint64(rate * SampleModulus)}
}

// Names is the hash of model and tenant of k, as [Names.Of].
func (s *Sampler) Names(k *Key) uint64 { return s.names.Of(k) }

// Takes reports whether what has that hash is in the sample.
func (s *Sampler) Takes(h uint64) bool { return h%SampleModulus < s.limit }

// SampleHash is Mix64(lead XOR names XOR (rank<<32 | group)), lead being that of the
// chunk's hash.
func SampleHash(lead, names uint64, rank uint32, group uint16) uint64 {
	return Mix64(lead ^ names ^ (uint64(rank)<<32 | uint64(group)))
}

// Mix64 spreads h over all 64 bits: the finaliser of MurmurHash3, also called fmix64.
func Mix64(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
