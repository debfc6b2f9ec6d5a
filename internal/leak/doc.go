// Package leak finds goroutines that a test has left behind.
package leak
