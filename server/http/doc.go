// Package httpserver is the HTTP front end of one engine, for operators and
// probes: health, status, metrics, version, log level, quotas, and what is stored.
// The directory is named http as the protocol is; the package is not, so that it
// can be imported beside net/http.
//
// | Path                  | Answer                                                  |
// |-----------------------|---------------------------------------------------------|
// | /                     | name of the service                                     |
// | /healthcheck          | 200 if the engine is open, else 503 with the reason     |
// | /livez, /readyz       | 200, or 503 with the checks that failed                 |
// | /status               | state of the engine and all below it, indented JSON     |
// | /metrics              | the handler given in Options, 404 without one           |
// | /loglevel             | level of the log as text; ?level=DEBUG sets it          |
// | /version, /commit_id  | JSON strings                                            |
// | /lmc_version          | the LMCache release whose HTTP interface this follows   |
// | /config/adapters      | types of the outer tiers                                |
//
// With Options.Cache:
//
// | Method, path           | Answer                                                 |
// |------------------------|--------------------------------------------------------|
// | POST /cache/clear      | empties L1; {"force":true} also of what is in use      |
// | GET /cache/objects     | a page of what an outer tier holds                     |
// | DELETE /cache/objects  | removes objects by key, from outer tiers, L1 or both   |
// | POST /cache/explain    | what of a prompt is cached, and why not the rest        |
// | POST /cache/prefetches | loads a prompt from outer tiers into L1 ahead of time  |
// | GET, DELETE            | how far that is; gives it up                           |
// | /cache/prefetches/{id} |                                                        |
// | GET /quota             | limits and usage by tenant                             |
// | GET, PUT, DELETE       | limit of one tenant; _default is the empty salt        |
// | /quota/{salt}          |                                                        |
//
// The paths of LMCache's older versions answer like their successors, with a header
// Deprecation: /api/healthcheck, /api/status, /clear-cache, /api/clear-cache, /l2/keys,
// /l2/keys:evict.
//
// A quota holds in L1 and in each outer tier by itself, where the eviction policy tells
// tenants apart. Where nothing does, it is kept and has no effect, as in LMCache; a
// header Warning says so. The usage beside it is the largest of those places.
//
// # Conventions
//
// Answers are JSON in UTF-8; errors are {"detail": …}, unless a route of LMCache has
// its own shape, as /quota has {"error": …}. Values of a body or a query that are wrong
// are 422 with a list of {"type", "loc", "msg"}, all of them at once; unknown names are
// ignored. A body of more than 16 MiB is 413, a wrong method 405 with Allow, an unknown
// path 404. A handler has 30 seconds. JSON and metrics are compressed if the client asks
// for it.
//
// # Safety
//
// It listens on loopback unless told otherwise. A request whose Host is no name or
// address of the listener, or whose Origin is another one, is refused: a web page
// in somebody's browser must not be able to talk to the cache. Everything from
// outside is bounded: connections, header bytes, and the time for each.
//
// What changes something needs the administrator's token, if there is one
// (Authorization: Bearer); else it is served on loopback listeners only, unless
// Options.InsecureAdmin says otherwise, and refused to pages of other sites. Who shows
// the right token may call the server by any name.
//
// # Lifetime
//
// Listen binds and starts the one goroutine that accepts; Close stops it, waits for
// requests in progress and returns when it is gone. The engine belongs to the caller
// and may close before the server: the answers then say so.
package httpserver
