// Package top is the live view of a server that "lmcache top" shows. It reads the
// metrics page of a server, as Prometheus does, and nothing else.
//
// # From a scrape to a screen
//
//	page ──Parse──▶ Scrape ──Recorder.Add──▶ Frame ──Render──▶ text
//
// A Scrape holds the series of one reading. A Frame holds what is shown: [Build] makes
// it of two scrapes, a [Recorder] adds what needs more of the past. [Render] makes the
// text of a frame for a size. All three are functions of their arguments. [Run] is the
// rest: it fetches, waits, reads keys and draws.
//
// # Rates
//
// A rate is the increase between two scrapes over the time between them. A counter that
// fell has started at 0 again, as in Prometheus. When the process is a new one
// (process_start_time_seconds), all have. Quantiles are those of the increase of the
// histogram's buckets, linear inside a bucket. Rates without a scrape before, and ratios
// of nothing, are not numbers and shown as "-"; [Number] writes them as null.
//
// # Servers
//
// A metric that a server does not have leaves its place empty. Names that LMCache's later
// releases use for the same values are known, so their servers can be watched too. Text
// that comes from a page is cleaned before it is shown: a tenant's name can move no cursor.
package top
