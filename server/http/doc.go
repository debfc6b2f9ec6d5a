// Package httpserver is the HTTP front end of one engine, for operators and
// probes: health, status, metrics, version and log level. It changes nothing in the cache.
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
//
// # Conventions
//
// Answers are JSON in UTF-8; errors are {"detail": …}, unless a route of LMCache has
// its own shape. A wrong method is 405 with Allow, an unknown path 404. A handler
// has 30 seconds. JSON and metrics are compressed if the client asks for it.
//
// # Safety
//
// It listens on loopback unless told otherwise. A request whose Host is no name or
// address of the listener, or whose Origin is another one, is refused: a web page
// in somebody's browser must not be able to talk to the cache. Everything from
// outside is bounded: connections, header bytes, and the time for each.
//
// What changes something is served on loopback listeners only, and refused to pages of
// other sites.
//
// # Lifetime
//
// Listen binds and starts the one goroutine that accepts; Close stops it, waits for
// requests in progress and returns when it is gone. The engine belongs to the caller
// and may close before the server: the answers then say so.
package httpserver
