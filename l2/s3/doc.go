// Package s3 keeps objects in a bucket of any service that speaks S3.
//
// An object is written with one PUT and read with one GET, header and payload in
// one, under its remote name. PUT asks the service to write only if nothing is there
// (If-None-Match), so that an object which another server has stored is not replaced; a
// service that does not know that replaces it by the same bytes. Payloads are not
// signed, since the header carries a checksum that readers verify.
//
// What was seen in the bucket is remembered for a minute, so that a lookup of it asks
// nobody; a load or delete that fails forgets it.
//
// # Requests
//
// Each request has its own time limit. Passing failures are tried again by the client
// library, a few times; a service that answers 503 or 429 with Retry-After is left alone
// for that long, ten seconds at most, by all requests. Lookups and deletes of
// a batch run in parallel, stores and loads one after the other: those the tier
// runs in parallel.
package s3
