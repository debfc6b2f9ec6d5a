package main

import (
	"strings"
	"testing"
)

// TestOutput: the three full chunks come back as they were stored.
func TestOutput(t *testing.T) {
	var got strings.Builder
	if err := run(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if want := "96 of 103 tokens from the cache, equal: true\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}
