package kv

// Key names one object: the KV of one chunk for one rank and one object group
// of one model, in one tenant. It is a comparable value; equality covers all
// fields. A Key built by hand may be invalid (see Validate); what parsing
// and Request.AppendKeys return is valid.
type Key struct {
	Hash  Hash
	Model string // opaque model name
	Salt  string // tenant; empty means no isolation
	Rank  uint32 // packed by PackRank
	Group uint16 // object group
}
