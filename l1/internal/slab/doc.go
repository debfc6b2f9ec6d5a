// Package slab keeps records in pages addressed by small ids. A page never
// moves, so a record has one address for as long as it lives, growth copies no
// record, and links between records are ids instead of pointers: with a record
// type that holds no pointers, a million records are nothing to the garbage
// collector.
//
// Slab hands out the ids itself and takes them back; Table is indexed by ids
// that somebody else hands out. The zero value of both is empty and ready. Ids
// are dense and handed out in an order that depends on the calls only. Nothing
// here is safe for concurrent use.
package slab
