// Package serving is the life of an HTTP server on one listener: a goroutine that
// accepts, its address and URL, and an end that drains.
package serving
