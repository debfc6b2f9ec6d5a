package l1

import "github.com/lmcache-go/lmcache/storage/kv"

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
	return kv.Mix64(k.Hash.Lead() ^ n.nameHash(k) ^ uint64(k.Group)<<48)
}
