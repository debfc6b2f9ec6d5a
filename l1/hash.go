package l1

import "github.com/lmcache-go/lmcache/storage/kv"

// fmix64 is the MurmurHash3 64-bit finaliser.
func fmix64(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

// fnv64 is 64-bit FNV-1a, continued from h.
func fnv64(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

// namer resolves the model and salt of consecutive keys, which are nearly
// always those of the key before.
type namer struct {
	model, salt string
	hash        uint64
	set         bool
}

func (n *namer) nameHash(k *kv.Key) uint64 {
	if !n.set || n.model != k.Model || n.salt != k.Salt {
		n.model, n.salt, n.set = k.Model, k.Salt, true
		n.hash = fnv64((fnv64(0xcbf29ce484222325, k.Model)^0xff)*0x100000001b3, k.Salt)
	}
	return n.hash
}

// family is the 64-bit fingerprint of a key's family.
func (n *namer) family(k *kv.Key) uint64 {
	return fmix64(k.Hash.Lead() ^ n.nameHash(k) ^ uint64(k.Group)<<48)
}
