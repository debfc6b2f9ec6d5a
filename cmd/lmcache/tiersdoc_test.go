package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// Every example of an adapter in docs/tiers.md is taken as it stands, and every type, flag
// and key that a configuration in effect shows is in it.
func TestTiersDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/tiers.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	r, err := l2Registry()
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllStringSubmatch(doc, -1) {
		examples = append(examples, m[1])
	}
	for _, m := range regexp.MustCompile(`--l2-adapter '([^']*)'`).FindAllStringSubmatch(doc, -1) {
		examples = append(examples, m[1])
	}
	if len(examples) < 5 {
		t.Fatalf("only %d examples were found", len(examples))
	}
	configs, err := r.Parse(examples, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range configs {
		seen[c.Type] = true
		for key := range c.Shown {
			if !strings.Contains(doc, "`"+key+"`") {
				t.Errorf("key %s of type %s is not in docs/tiers.md", key, c.Type)
			}
		}
	}
	for _, name := range r.Names() {
		if !strings.Contains(doc, "`"+name+"`") && !regexp.MustCompile(`(?m)^## .*\b`+name+`\b`).MatchString(doc) {
			t.Errorf("type %s is not in docs/tiers.md", name)
		}
	}
	for _, name := range (&flags.L2{}).Names() {
		if !strings.Contains(doc, "--"+name) {
			t.Errorf("--%s is not in docs/tiers.md", name)
		}
	}
	for _, name := range []string{"fs", "mock", "fault_inject"} {
		if !seen[name] {
			t.Errorf("the example of %s is gone", name)
		}
	}
}
