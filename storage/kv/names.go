package kv

// Names hashes the model and tenant of keys. It keeps the hash of the last ones, which
// follow each other in runs, so it belongs to one goroutine at a time. The zero value is
// ready.
type Names struct {
	model, salt string
	hash        uint64 // of the two; 0: of none yet
}

// Of is the hash of model and tenant of k: FNV-1a of 64 bits of the model, a zero
// byte and the tenant.
func (n *Names) Of(k *Key) uint64 {
	if n.hash == 0 || k.Model != n.model || k.Salt != n.salt {
		n.model, n.salt = k.Model, k.Salt
		n.hash = fnv64(fnv64(fnvOffset, k.Model)*fnvPrime, k.Salt) // the zero byte is the product alone
	}
	return n.hash
}

// Family is a fingerprint of the ranks of one chunk: of the keys that differ from k in
// rank only.
func (n *Names) Family(k *Key) uint64 {
	return Mix64(k.Hash.Lead() ^ n.Of(k) ^ uint64(k.Group)<<48)
}

// The parameters of 64-bit FNV-1a.
const fnvOffset, fnvPrime = 0xcbf29ce484222325, 0x100000001b3

// fnv64 is 64-bit FNV-1a, continued from h.
func fnv64(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}
