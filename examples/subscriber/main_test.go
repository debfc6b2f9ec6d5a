package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOutput: the first round finds nothing; from then on one tenant finds all, the
// other the chunk in front of the first change.
func TestOutput(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow.log")
	var got strings.Builder
	if err := run(t.Context(), &got, slow, 0); err != nil {
		t.Fatal(err)
	}
	want := `faithful   0 %  restless   0 %
faithful  50 %  restless  12 %
faithful  67 %  restless  17 %
faithful  75 %  restless  19 %
faithful  80 %  restless  20 %
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(slow)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{} // each of the ten requests took some time
	for _, m := range regexp.MustCompile(`(?m)^\S+ request "\w+" of tenant "(\w+)" \(\w+\): \S+s, (\d+) of 128 tokens found$`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]+" "+m[2]]++
	}
	if diff := cmp.Diff(map[string]int{"faithful 0": 1, "faithful 128": 4, "restless 0": 1, "restless 32": 4}, found); diff != "" {
		t.Errorf("slow requests (-want +got):\n%s\n%s", diff, text)
	}
}

// No request takes an hour.
func TestNothingIsSlow(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow.log")
	var out strings.Builder
	if err := run(t.Context(), &out, slow, time.Hour); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(slow); err != nil || len(text) > 0 {
		t.Errorf("%q, %v", text, err)
	}
}
