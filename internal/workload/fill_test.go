package workload

import (
	"fmt"
	"testing"
)

func BenchmarkFill(b *testing.B) {
	for _, width := range []int{8, 16, 32, 128} {
		for _, tokens := range []int{16, 64} {
			b.Run(fmt.Sprintf("row %d, block %d", width, tokens), func(b *testing.B) {
				mem := make([]byte, width*tokens)
				states := make([]uint64, tokens)
				b.SetBytes(int64(len(mem)))
				for b.Loop() {
					fill(mem, states, patternQ)
				}
			})
		}
	}
}
