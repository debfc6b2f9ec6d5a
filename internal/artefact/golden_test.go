package artefact

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// examples is where the committed copies lie.
const examples = "../../examples/observability"

// golden compares got with a committed file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(examples, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); if it should, run the test with -update:\n%s", path, diff)
	}
}

// REQ-O57: what is committed is what this binary prints.
func TestREQ_O57_Committed(t *testing.T) {
	var dashboard, rules bytes.Buffer
	if err := WriteDashboard(&dashboard); err != nil {
		t.Fatal(err)
	}
	if err := WriteRules(&rules, RulesOptions{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "dashboard.json", dashboard.Bytes())
	golden(t, "rules.yml", rules.Bytes())
	golden(t, "rules_test.yml", promtoolTests(t))
}
