package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOutput: the first round finds nothing; from then on one tenant finds all, the
// other the chunk in front of the first change.
func TestOutput(t *testing.T) {
	var got strings.Builder
	if err := run(t.Context(), &got); err != nil {
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
}
