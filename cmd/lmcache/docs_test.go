package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/observe"
)

const repository = "../.."

// document reads a file of the repository.
func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const operators = "docs/observability.md"

// The table of flags has every flag of the help's group Observability with its name in
// the environment and its default, and no other flag.
func TestFlagsDocumented(t *testing.T) {
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)` \\| `([A-Z0-9_]+)` \\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(document(t, operators), -1) {
		if rows[m[1]] != nil {
			t.Errorf("--%s has two rows", m[1])
		}
		rows[m[1]] = m[2:]
	}
	settings, _ := newRun(t, nil).app.Settings(smallServer)
	for _, s := range settings {
		if s.Group != "Observability" || s.Foreign {
			continue
		}
		row := rows[s.Name]
		delete(rows, s.Name)
		if row == nil {
			t.Errorf("--%s is not in the table", s.Name)
			continue
		}
		want := "`" + s.Default + "`"
		switch {
		case s.Name == "service-instance-id":
			want = "random UUID"
		case s.Kind == "BOOL":
			want = "off"
		case s.Default == "":
			want = "none"
		}
		if row[0] != cli.EnvName(s.Name) || row[1] != want {
			t.Errorf("--%s: the table has %s and the default %s, want %s and %s", s.Name, row[0], row[1], cli.EnvName(s.Name), want)
		}
	}
	for name := range rows {
		t.Errorf("--%s is in the table and not among the flags of observability", name)
	}
}

// Every metric that a document names is in the registry, or is recorded by the rules.
func TestMetricsOfDocuments(t *testing.T) {
	known := map[string]bool{}
	for _, m := range observe.Metrics() {
		name := m.PrometheusName()
		known[name] = true
		if m.Kind == observe.Histogram {
			known[name+"_bucket"], known[name+"_sum"], known[name+"_count"] = true, true, true
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^ +- record: (\S+)$`).FindAllStringSubmatch(document(t, "examples/observability/rules.yml"), -1) {
		known[m[1]] = true
	}
	name := regexp.MustCompile(`\b(?:[a-z0-9_]+:)?lmcache_(?:mp|blend)_[a-z0-9_]+(?::[a-z0-9_]+)?`)
	found := 0
	for _, path := range []string{operators, "README.md", "docs/embedding.md", "docs/architecture.md", "examples/observability/README.md"} {
		for _, n := range name.FindAllString(document(t, path), -1) {
			if found++; !known[n] {
				t.Errorf("%s names %s, which is no metric", path, n)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d names were found", found)
	}
}

// Every alert has a section, and every section of that kind an alert.
func TestAlertsDocumented(t *testing.T) {
	list := func(expr, path string) []string {
		var names []string
		for _, m := range regexp.MustCompile(expr).FindAllStringSubmatch(document(t, path), -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	alerts := list(`(?m)^ +- alert: (\S+)$`, "examples/observability/rules.yml")
	sections := list(`(?m)^### (LMCache\S+)$`, operators)
	if len(alerts) < 10 {
		t.Errorf("only %d alerts were read", len(alerts))
	}
	if !slices.Equal(alerts, sections) {
		t.Errorf("alerts   %v\nsections %v", alerts, sections)
	}
}

// What the document gives to copy can be used: Prometheus reads every expression.
func TestPromQLOfDocuments(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (make tools)")
	}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, m := range regexp.MustCompile("(?s)```promql\n(.*?)\n```").FindAllStringSubmatch(document(t, operators), -1) {
		rules = append(rules, rule{"recipe:" + string(rune('a'+len(rules)/26)) + string(rune('a'+len(rules)%26)), m[1]})
	}
	if len(rules) < 20 {
		t.Errorf("only %d expressions were found", len(rules))
	}
	file, err := yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "recipes", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "check", "rules", "/dev/stdin")
	cmd.Stdin = bytes.NewReader(file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The picture of "lmcache top" is one that it draws.
func TestPictureOfTop(t *testing.T) {
	if !strings.Contains(document(t, operators), strings.TrimRight(document(t, "internal/top/testdata/80x24.golden"), "\n")) {
		t.Errorf("%s does not have the frame of internal/top/testdata/80x24.golden", operators)
	}
}

// The tables of README.md have every document and every command.
func TestREADME(t *testing.T) {
	readme := document(t, "README.md")
	files, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := "docs/" + filepath.Base(f); !strings.Contains(readme, "| ["+name+"]("+name+") |") {
			t.Errorf("%s is not in the table of documents", name)
		}
	}
	commands, err := newRun(t, nil).app.Commands()
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]bool)
	word := regexp.MustCompile(`^[a-z0-9\\|]+$`)
	for _, m := range regexp.MustCompile("(?m)^\\| `lmcache (.*?)` \\|").FindAllStringSubmatch(readme, -1) {
		var words []string
		for w := range strings.FieldsSeq(m[1]) {
			if !word.MatchString(w) {
				break // an argument
			}
			words = append(words, w)
		}
		last := len(words) - 1
		for w := range strings.SplitSeq(words[last], `\|`) { // one row for several commands of a group
			words[last] = w
			rows[strings.Join(words, " ")] = true
		}
	}
	for _, c := range commands {
		if !rows[c] {
			t.Errorf("%q is not in the table of commands", c)
		}
	}
}
