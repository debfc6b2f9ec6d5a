package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	table := Table{Head: []string{"L1 size", "µ"}, Rows: [][]string{{"1 GiB", "0.25"}, {"infinite", "1"}}}
	want := "L1 size      µ\n--------  ----\n1 GiB     0.25\ninfinite     1\n"
	if diff := cmp.Diff(want, table.Text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
