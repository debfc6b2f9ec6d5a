package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden output anew")

// TestOutput compares the program's output with the golden file.
func TestOutput(t *testing.T) {
	var got strings.Builder
	if err := run(t.Context(), &got, 1<<20); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/output.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// TestSameAnswers: with a cache that holds next to nothing the answers are the
// same, and fewer tokens come from it.
func TestSameAnswers(t *testing.T) {
	var with, without strings.Builder
	if err := run(t.Context(), &with, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), &without, 4096); err != nil {
		t.Fatal(err)
	}
	answers := regexp.MustCompile(`(?m)^(chat\S+): .*(answer .*)$`)
	list := func(out string) (found [][]string) {
		for _, m := range answers.FindAllStringSubmatch(out, -1) {
			found = append(found, m[1:])
		}
		return found
	}
	a, b := list(with.String()), list(without.String())
	if len(a) != 12 {
		t.Fatalf("%d answers, want 12", len(a))
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("answers with and without a cache differ:\n%s", diff)
	}
	if with.String() == without.String() {
		t.Error("the cache made no difference")
	}
}
