// Command subscriber shows how a program listens to the cache: one subscriber of its
// own prints the hit ratio of each tenant while requests run, another writes the slow
// ones to a file.
package main
