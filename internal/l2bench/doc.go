// Package l2bench measures an adapter of the second tier: rounds of stores, lookups
// and loads, spread over calls as a tier does it, with headers and checksums, and
// beside them, in turns, a plain program that moves the same bytes: with direct I/O, or as
// a client of the same server.
// Every byte that is loaded is compared with what was stored.
package l2bench
