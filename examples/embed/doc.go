// Command embed is a small LLM server that keeps its KV cache in lmcache: requests
// in several turns, batched continuously, on a device in host memory. The cache is
// used in one file, cache.go; the rest is the server around it.
package main
