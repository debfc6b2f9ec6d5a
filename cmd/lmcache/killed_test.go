package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// killedTierEnv is the folder of a workload that will be killed.
const killedTierEnv = "LMCACHE_TEST_KILLED_TIER"

// TestREQ_C15_KilledWorkload: a workload over files is killed with SIGKILL, three times on
// one folder. Each time the next run finds what was stored, and no wrong byte.
func TestREQ_C15_KilledWorkload(t *testing.T) {
	workload := func(dir string) []string {
		return strings.Fields("bench workload --limit 150 --bytes-per-token 64 --l1-capacity-chunks 200 --no-optimal --json --no-progress --prometheus-port 0 --l2-adapter " +
			fmt.Sprintf(`{"type":"fs","base_path":%q,"max_capacity_gb":1,"disk_min_free_gb":0}`, dir))
	}
	if dir := os.Getenv(killedTierEnv); dir != "" {
		r := newRun(t, nil)
		r.app.Run(context.Background(), append(workload(dir), "--linger", "60"))
		return
	}
	dir := filepath.Join(t.TempDir(), "kv")
	for i := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestREQ_C15_KilledWorkload$")
		cmd.Env = append(os.Environ(), killedTierEnv+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitForObjects(t, dir, 20+60*i)
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	}
	left := objects(t, dir)
	stdout, stderr := traced(t, cli.ExitOK, workload(dir)...)
	var got struct {
		L2       int64 `json:"l2_hit_chunks"`
		Failures int64 `json:"verify_failures"`
		Errors   int64 `json:"errors"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.L2 == 0 || got.Failures != 0 || got.Errors != 0 {
		t.Errorf("%d objects were left: %+v\n%s", left, got, stderr)
	}
}

// waitForObjects waits until a folder has so many objects.
func waitForObjects(t *testing.T, dir string, n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if objects(t, dir) >= n {
			return
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// objects is how many objects a folder has.
func objects(t *testing.T, dir string) (n int) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // files come and go meanwhile
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".kv1") {
			n++
		}
		return nil
	})
	return n
}
