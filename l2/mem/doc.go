// Package mem keeps objects in the memory of the process: a store for tests,
// examples and experiments (types mem and mock). With a bandwidth and a latency it
// stands for a slower one, in real time or in a bubble of testing/synctest.
//
// Objects live on the Go heap and end with the adapter, or with its [Store] if it was
// given one, which several adapters may open one after the other or at once: that is
// what a restart looks like, and what two processes on one store look like.
package mem
