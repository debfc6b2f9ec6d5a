package invariants

import (
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// The constant follows the build tag that the test binary was built with.
func TestEnabledFollowsBuildTag(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("the test binary carries no build information")
	}
	want := false
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			want = slices.Contains(strings.Split(s.Value, ","), "invariants")
		}
	}
	if Enabled != want {
		t.Fatalf("Enabled = %v with build settings %v", Enabled, info.Settings)
	}
}
