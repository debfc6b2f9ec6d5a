// Command hostcopy uses the cache from a host without a device: its KV is in its own
// memory, and it copies chunks itself, into and out of buffers that it is lent.
package main
