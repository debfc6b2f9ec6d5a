package kv

// SampleModulus is the prime that the hash of a key is taken modulo of.
const SampleModulus = 1_000_003

// Sampler decides which keys are in a sample, by their hash alone: the same key gets
// the same answer in every process, after a restart and in a replay. It keeps the hash
// of the last model and tenant, which follow each other in runs, so it belongs to one
// goroutine at a time.
type Sampler struct {
	limit       uint64 // residues below it are in the sample
	model, salt string
	names       uint64 // hash of the two
}

// NewSampler returns the sampler of a share of all keys, above 0 and at most 1.
func NewSampler(rate float64) Sampler {
	return Sampler{limit: uint64(rate * SampleModulus), names: hashNames("", "")}
}

// Names is the hash of model and tenant of k: FNV-1a of 64 bits of the model, a zero
// byte and the tenant.
func (s *Sampler) Names(k *Key) uint64 {
	if k.Model != s.model || k.Salt != s.salt {
		s.model, s.salt, s.names = k.Model, k.Salt, hashNames(k.Model, k.Salt)
	}
	return s.names
}

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
