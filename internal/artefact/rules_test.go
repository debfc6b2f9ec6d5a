package artefact

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// tool is the path of a program of Prometheus. Without it the test is skipped.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (make tools)", name)
	}
	return path
}

// promtool runs promtool in a folder.
func promtool(t testing.TB, dir string, stdin []byte, args ...string) (output string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// REQ-O58: promtool accepts the rules, and of each alert one series makes it fire,
// with the texts that were written down for it, and one keeps it silent.
func TestREQ_O58_Promtool(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		if out, ok := promtool(t, examples, nil, args...); !ok {
			t.Errorf("promtool %s:\n%s", strings.Join(args, " "), out)
		}
	}
}

// REQ-O58: the tests above can fail. An alert that never fires, and one that always
// does, is found.
func TestREQ_O58_PromtoolFindsFaults(t *testing.T) {
	var rules bytes.Buffer
	if err := WriteRules(&rules, RulesOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios() {
		for how, expr := range map[string]string{"never": "vector(0) > 1", "always": `label_replace(vector(1), "instance", "a:9090", "", "")`} {
			t.Run(s.alert+" "+how, func(t *testing.T) {
				dir := t.TempDir()
				write(t, filepath.Join(dir, "rules.yml"), faulty(t, rules.Bytes(), s.alert, expr))
				write(t, filepath.Join(dir, "rules_test.yml"), onlyTests(t, s.alert))
				out, ok := promtool(t, dir, nil, "test", "rules", "rules_test.yml")
				if ok || !strings.Contains(out, "alertname: "+s.alert) {
					t.Errorf("promtool passes:\n%s", out)
				}
			})
		}
	}
}

// faulty are the rules with another expression for one alert.
func faulty(t *testing.T, rules []byte, name, expr string) []byte {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string           `yaml:"name"`
			Rules []map[string]any `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(rules, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r["alert"] == name {
				r["expr"] = expr
			}
		}
	}
	data, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// onlyTests are the tests of one alert.
func onlyTests(t *testing.T, name string) []byte {
	t.Helper()
	var file testFileYAML
	if err := yaml.Unmarshal(promtoolTests(t), &file); err != nil {
		t.Fatal(err)
	}
	file.Tests = slices.DeleteFunc(file.Tests, func(y testYAML) bool { return y.Alerts[0].Name != name })
	data, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every alert says what it means, what to look at and what to change, and names
// panels that exist.
func TestRunbooks(t *testing.T) {
	panels := map[string]bool{}
	for _, line := range panelList {
		for _, title := range line[1:] {
			panels[title] = true
		}
	}
	quotes := regexp.MustCompile(`"([^"]+)"`)
	messages := []string{"Some keys not found during retrieve!", "EventBus: error in callback", "a tier of the cache is not asked for a while"} // of the log
	names := map[string]bool{}
	for _, a := range alerts(newPromQL("5m", false), RulesOptions{}) {
		if names[a.name] || !strings.HasPrefix(a.name, "LMCache") {
			t.Errorf("%s: name", a.name)
		}
		names[a.name] = true
		if a.severity != severityPage && a.severity != severityTicket {
			t.Errorf("%s: severity %q", a.name, a.severity)
		}
		if !panels[a.panel] {
			t.Errorf("%s: there is no panel %q", a.name, a.panel)
		}
		for _, text := range []string{a.measured, a.means, a.look, a.change} {
			if len(text) < 40 || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q", a.name, text)
			}
			for _, m := range quotes.FindAllStringSubmatch(text, -1) {
				if !panels[m[1]] && !slices.Contains(messages, m[1]) {
					t.Errorf("%s: there is no panel or message %q", a.name, m[1])
				}
			}
		}
		if !strings.Contains(a.measured, "$value") && a.when[:2] != "==" {
			t.Errorf("%s: the description lacks the value", a.name)
		}
	}
}

func TestRulesOptions(t *testing.T) {
	for interval, want := range map[time.Duration]string{0: "[15s]", 15 * time.Second: "[45s]", time.Minute: "[180s]"} {
		var b bytes.Buffer
		if err := WriteRules(&b, RulesOptions{ScrapeInterval: interval}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "lmcache_mp_l1_eviction_loop_ticks_total"+want+")) == 0") {
			t.Errorf("%v: no range of %s", interval, want)
		}
	}
	for _, interval := range []time.Duration{-1, time.Millisecond, 1500 * time.Millisecond, time.Hour} {
		if err := WriteRules(&bytes.Buffer{}, RulesOptions{ScrapeInterval: interval}); err == nil || !strings.Contains(err.Error(), "ScrapeInterval") {
			t.Errorf("%v: %v", interval, err)
		}
	}
}
