package mooncake_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/mooncake"
)

// FuzzRead: whatever comes in, requests are sound, there is at most one error, it
// is the last thing and names a line that exists.
func FuzzRead(f *testing.F) {
	f.Add([]byte(good), 512)
	f.Add([]byte(zipped(f, good)), 512)
	f.Add([]byte(good+"\n{}"), 1)
	f.Add([]byte(`{"timestamp":0,"input_length":3,"hash_ids":[1,2,18446744073709551615]}`), 1)
	f.Add([]byte(`{"timestamp":-1,"input_length":1e400,"hash_ids":[null,[]]}`), 16)
	f.Add([]byte{0x1f, 0x8b, 8, 0}, 16)
	f.Fuzz(func(t *testing.T, data []byte, blockTokens int) {
		blockTokens = max(1, blockTokens%(1<<16))
		ended := false
		for r, err := range mooncake.Read(strings.NewReader(string(data)), blockTokens) {
			if ended {
				t.Fatal("went on after an error")
			}
			if err != nil {
				ended = true
				var bad *mooncake.LineError
				if !errors.As(err, &bad) || bad.Line < 1 || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v", err)
				}
				continue
			}
			if r.Timestamp < 0 || r.InputLength < 0 || r.InputLength > mooncake.MaxTokens || r.OutputLength < 0 {
				t.Fatalf("request %+v", r)
			}
			if n := len(r.HashIDs); n*blockTokens < r.InputLength || n > 0 && (n-1)*blockTokens >= r.InputLength {
				t.Fatalf("%d ids for %d tokens in blocks of %d", n, r.InputLength, blockTokens)
			}
			if r.InputLength > 1<<16 {
				continue // tokens take too long
			}
			tokens := mooncake.Tokens(nil, r, blockTokens)
			if len(tokens) != r.InputLength || slices.ContainsFunc(tokens, func(v int32) bool { return v < 0 }) {
				t.Fatalf("%d tokens of %d", len(tokens), r.InputLength)
			}
		}
	})
}
