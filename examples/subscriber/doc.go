// Command subscriber shows how a program listens to the cache: a subscriber of its
// own that prints the hit ratio of each tenant while requests run.
package main
