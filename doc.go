// Package lmcache is an embeddable KV cache for LLM inference servers: it keeps
// the attention state of prompts that were computed before, chunk by chunk, in
// host memory, and gives it back to the device.
package lmcache
