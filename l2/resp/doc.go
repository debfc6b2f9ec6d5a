// Package resp keeps objects in a server that speaks the Redis protocol: Redis,
// Valkey, one server or a cluster of them.
//
// An object is one string value, header and payload, under its remote name behind the
// optional key prefix. It is written with SET NX, so that it appears whole and the
// first writer wins; no expiry is set. Commands of a batch are pipelined. Values are
// written and read on connections of their own, of which there are as many as calls run,
// so that a small command never waits behind a large value; what is read goes
// straight from the connection's buffer into the memory of the caller, after STRLEN has said
// that it fits.
//
// # Connections
//
// The first call connects, so that an adapter of a server that is away can be
// opened. Of several addresses of single servers the first one is used that is a master;
// a replica that answers before it serves loads meanwhile, and afterwards if there is no
// master. After a failure of the connection all are tried again in order; after a write
// that is refused by a replica too, while that goes on serving loads. A cluster needs one
// address that answers. Every call is bounded by its context and by
// [Options].RequestTimeout. What fails is told and not tried again: that is the tier's.
//
// # Refusals
//
// A server that loads its data, is busy with a script, has lost its master or is the
// wrong one for a key says so in place of an answer. That is an error of the key with the
// server's words, and never taken for "not there".
//
// # Eviction by the server
//
// A server with a maxmemory policy other than noeviction removes objects by itself.
// That is a miss and nothing worse, but what the tier counts then drifts until it
// meets the missing keys. [Adapter.Describe] has the policy.
package resp
