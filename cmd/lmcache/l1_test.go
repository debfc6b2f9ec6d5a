package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

func TestL1Options(t *testing.T) {
	lazy := flags.L1Memory{UseLazy: true, InitSizeGB: 20 << 30, ShmMode: "0600"}
	for _, c := range []struct {
		name   string
		memory flags.L1Memory
		want   l1.Options
		text   string
	}{
		{"default", lazy, l1.Options{ShmMode: 0o600}, "private, lazy"},
		{"as little as can be", flags.L1Memory{UseLazy: true}, l1.Options{InitBytes: 1}, "private, lazy"},
		{"eager", flags.L1Memory{InitSizeGB: 3 << 30}, l1.Options{InitBytes: 3 << 30, Eager: true}, "private"},
		{"huge pages", flags.L1Memory{UseLazy: true, UseHugepages: true, InitSizeGB: 1}, l1.Options{InitBytes: 1, HugePages: true}, "huge pages"},
		{
			"shared",
			flags.L1Memory{UseLazy: true, InitSizeGB: 1, ShmName: "a", ShmMode: "0660"},
			l1.Options{InitBytes: 1, ShmName: "a", ShmMode: 0o660},
			"shared as lmcache_l1_pool_a, lazy",
		},
		{"shared, eager", flags.L1Memory{InitSizeGB: 1, ShmName: "a"}, l1.Options{InitBytes: 1, Eager: true, ShmName: "a"}, "shared as lmcache_l1_pool_a"},
	} {
		f := &flags.L1{L1Memory: c.memory}
		got := l1Options(f)
		type memory struct {
			Init         int64
			Eager, Pages bool
			Name         string
			Mode         fs.FileMode
		}
		of := func(o l1.Options) memory { return memory{o.InitBytes, o.Eager, o.HugePages, o.ShmName, o.ShmMode} }
		if diff := cmp.Diff(of(c.want), of(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if text := memoryText(f); text != c.text {
			t.Errorf("%s: %q, want %q", c.name, text, c.text)
		}
	}
}

// Only memory that is waited for has a display.
func TestShowMemory(t *testing.T) {
	std := &cli.IO{Stderr: new(bytes.Buffer)}
	for _, c := range []struct {
		o    l1.Options
		want bool
	}{{l1.Options{Bytes: 1}, false}, {l1.Options{Bytes: 1, Eager: true}, true}, {l1.Options{Bytes: 1, HugePages: true}, true}} {
		end := showMemory(&cli.Output{}, std, &c.o)
		if (c.o.Progress != nil) != c.want {
			t.Errorf("%+v: a display: %v", c.o, c.o.Progress != nil)
		}
		if c.o.Progress != nil {
			c.o.Progress(1, 1)
		}
		end()
	}
}

// A server in shared memory says where, keeps others off the name, and leaves
// nothing.
func TestServerInSharedMemory(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Logf("not tried: %v", err)
		return
	}
	leak.Check(t)
	name := "lmcache_l1_pool_test_" + strconv.Itoa(os.Getpid())
	memory := []string{"--shm-name", strings.TrimPrefix(name, l1.ShmNamePrefix), "--shm-mode", "0660", "--no-l1-use-lazy"}
	s := serve(t, memory...)
	var status struct {
		Storage struct {
			L1 struct {
				Name      string `json:"shm_name"`
				Committed int64  `json:"memory_committed_bytes"`
				Total     int64  `json:"memory_total_bytes"`
			} `json:"l1_manager"`
		} `json:"storage_manager"`
	}
	if err := json.Unmarshal([]byte(get(t, s.urls["http"]+"/status")), &status); err != nil {
		t.Fatal(err)
	}
	if m := status.Storage.L1; m.Name != name || m.Committed != 64<<20 || m.Total != 64<<20 {
		t.Errorf("/status: %+v", m)
	}
	if st, err := os.Stat("/dev/shm/" + name); err != nil || st.Size() != 64<<20 || st.Mode() != 0o660 {
		t.Errorf("%+v (%v)", st, err)
	}
	r := newRun(t, anyPorts)
	code := r.app.Run(t.Context(), append(append([]string(nil), smallServer...), memory...))
	if last := r.stderr.String(); code != cli.ExitFailed || !strings.Contains(last, "error: l1: shared memory /dev/shm/"+name+" belongs to another running process; choose another name\n") {
		t.Errorf("a second server: exit code %d:\n%s", code, last)
	}
	if code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM}); code != cli.ExitOK {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	if _, err := os.Stat("/dev/shm/" + name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the segment is still there (%v)", err)
	}
}

// A signal that comes while the memory is made ready ends the server as one that
// comes later does.
func TestSignalDuringTheStart(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&cli.InterruptedError{Signal: syscall.SIGTERM})
	r := newRun(t, anyPorts)
	code := r.app.Run(ctx, append(append([]string(nil), smallServer...), "--no-l1-use-lazy"))
	if code != cli.ExitOK || !strings.Contains(r.stderr.String(), "Shutting down server before it has started") {
		t.Errorf("exit code %d:\n%s", code, r.stderr.String())
	}
	r = newRun(t, anyPorts)
	code = r.app.Run(ctx, []string{"bench", "workload", "--limit", "1", "--no-l1-use-lazy", "--l1-size-gb", "64MiB"})
	if code != cli.ExitTerminate {
		t.Errorf("a benchmark: exit code %d:\n%s", code, r.stderr.String())
	}
}
