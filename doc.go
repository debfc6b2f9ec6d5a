// Package lmcache is an embeddable KV cache for LLM inference servers: it keeps
// the attention state of prompts that were computed before, chunk by chunk, in
// host memory, and gives it back to the device.
//
// # Use
//
// A host opens one Engine, attaches its devices, and for each request asks what is
// there, takes it, computes the rest and hands that in:
//
//	eng, err := lmcache.Open(ctx, lmcache.Options{L1: l1.Options{Bytes: 32 << 30}})
//	w, err := eng.Attach(lmcache.WorkerOptions{Model: "llama", Backend: dev, Cache: paged})
//
//	s := eng.Session(lmcache.Request{ID: id, Model: "llama", Salt: tenant})
//	defer s.Close()
//	match := s.Lookup(ctx, tokens)                  // starts; does not wait
//	in, err := w.Retrieve(ctx, match, blocks, nil)  // queued on the device
//	n := in.Tokens()                                // once in is done: compute from token n on
//	out, err := w.Store(ctx, s, tokens, blocks, computed)
//
// The examples of this package are this loop as programs, against a device in host
// memory; directory examples has a whole server.
//
// # Objects
//
// A chunk of one rank is one object, or several: layers with different attention
// windows can be objects of their own (Options.SeparateObjectGroups), recurrent
// layers always are. A lookup finds the longest prefix of which every rank and
// group can supply what it needs: all chunks with full attention, the last ones
// of a window, the last one of a recurrent state. The groups of a chunk are stored
// together or not at all, except where the host has no block.
//
// # What holds
//
// A prompt is cut into chunks of Options.ChunkTokens. A chunk's key covers all
// tokens up to its end, the model, the rank and the tenant's salt, so what is found
// is always a prefix, and objects of two tenants are never shared. A ragged tail
// is not kept. At least one token of a prompt is left to compute: Match.Tokens is
// less than the length of the prompt also if all of it is in the cache, and then
// its last token is computed over its copied slot.
//
// A miss is not an error: a lookup finds fewer tokens, a retrieve has no success, a
// store keeps a shorter prefix. Errors are bad arguments, what was closed, and, from
// Transfer.Err, the device. A transfer that failed reports nothing delivered and
// makes nothing readable that lies behind the failure; the blocks of a failed
// retrieve are undefined.
//
// # Who owns what
//
// The engine owns its memory, the host its devices and paged caches, and it closes
// them after the worker. Block lists and tokens are read during the call and not
// kept. Blocks belong to a transfer from its call until it is done. A lookup leases
// what it has found for its session; a retrieve takes its worker's share of that
// over, once per worker, and gives it back when the device is done. The rest goes
// back with the next lookup, with Match.Release, or at the end of the session.
// Transfers do not need their session: it may end while they run.
//
// # Hosts that copy themselves
//
// A HostWorker lends the memory of chunks: PrepareStore what is absent, to be filled
// and committed, PrepareRetrieve what was found, to be read and given back. Both are
// leases with an idempotent end. Until Commit nobody can read a byte; Abort, the write
// TTL and the end of the worker discard it. A host in the same process has its memory
// until it lets go or closes the worker; one in another process loses it with the TTL,
// or when it is detached, and if it shares the memory, which it may still write to then,
// the bytes stay out of use for another write TTL.
//
// Remote clients name what they mean with a HostKey, so that a commit needs nothing of
// its prepare, and their requests by id: OpenSession, SessionFor and EndSession keep the
// table. Their workers have an instance id and give signs of life; those that are silent
// for too long are detached, and are ErrUnknownInstance from then on.
//
// # How long a session lives
//
// A session is open as long as it is used: by its verbs, by questions for its result and
// by transfers that run. Its leases, and those of transfers, are renewed meanwhile. With
// Options.SessionTTL one that is idle becomes dormant: it keeps its tokens and hashes
// only, its match covers nothing, and the next verb opens it again. After an hour, or
// for want of room, it is given up, with the events of an end. Tokens and hashes are
// kept within Options.SessionBytes; they can be rebuilt.
//
// # What waits
//
// No verb waits for a device. Match.Tokens, Retrieve and PrepareRetrieve wait for the
// result of the lookup, Transfer.Wait for the device, Worker.Close and Engine.Close for the
// transfers that run, the latter until its deadline. A device that is given up
// then keeps its leases, and so the memory it may still write to.
//
// # Completion
//
// A worker has two streams, one for stores and one for retrieves, which only events
// order. Each has its lane: a goroutine that waits for the stream's events in order
// and settles what hangs on them. With one goroutine for both streams it would have
// to poll whenever both are busy, and a slow store would delay the return of leases
// of a retrieve; in a lane it only waits for the next event. For each one it first
// finishes or aborts leases, then publishes, then reports the transfer done. So who
// hears of a store's end finds its objects, and completion depends on no bus: with
// nobody listening it runs the same.
//
// A transfer is one or more batches, each with an event, so that early chunks of a
// long store can be found while later ones are copied. After an error the lane puts
// a probe behind all that is queued; if that fails too, the device is lost, and the
// worker refuses further work.
//
// Start and end of device work are published with the time of the device, all other
// events where they happen. For each submission there is exactly one end.
//
// # Locks
//
// In order: Engine.lookups, Worker.closing and HostWorker.closing (held for reading by
// verbs, the first by Attach too), Match.starting, lane.mu (held by a verb while it
// appends to its stream), then one of Engine.mu, Session.mu, Match.mu, Transfer.mu,
// HostWorker.mu, lane.queue and those of storage, of which none is taken while another
// is held, and last, also beneath these, those of the session table, the alarms, the
// liveness and the quarantine. Session.end and that of a host's transfer serialise the
// end; only HostWorker.closing comes before them. The order of remote registrations
// comes first. No lock is held while waiting for a device or calling a subscriber.
//
// Sessions, transfers, reservations and the scan for silent workers share one set of
// alarms, which has one timer of the runtime and rings without a lock.
package lmcache
