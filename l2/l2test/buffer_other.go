//go:build !unix

package l2test

import "testing"

func allocate(_ testing.TB, length, capacity int) *buffer {
	mem := make([]byte, capacity+2*physical)
	end := physical + capacity
	return &buffer{front: mem[:physical:physical], data: mem[physical : physical+length : end], back: mem[end:]}
}
