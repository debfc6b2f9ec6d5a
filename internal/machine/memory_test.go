package machine

import (
	"testing"
	"testing/fstest"
)

const meminfo = "MemTotal:       8388608 kB\nMemFree:          1000 kB\nMemAvailable:   4194304 kB\n"

// machine is a file system with the files that tell about memory.
func machine(files map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range files {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestReadMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Memory
		fits  int64
	}{
		{"no control group", map[string]string{"proc/meminfo": meminfo}, Memory{Total: 8 << 30, Available: 4 << 30}, 6 << 30},
		{
			"version 2, the parent's limit",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
				"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2147483648\n",
			},
			Memory{Total: 8 << 30, Available: 4 << 30, Group: 2 << 30},
			1 << 30,
		},
		{
			"version 2, in a container",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n",
			},
			Memory{Total: 8 << 30, Available: 4 << 30, Group: 512 << 20},
			384 << 20,
		},
		{
			"version 1",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n",
				"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			},
			Memory{Total: 8 << 30, Available: 4 << 30, Group: 1 << 30},
			768 << 20,
		},
		{
			"a tiny limit",
			map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1048576\n"},
			Memory{Total: 8 << 30, Available: 4 << 30, Group: 1 << 20},
			64 << 20,
		},
		{
			"strange files",
			map[string]string{"proc/meminfo": meminfo + "\nx\n", "proc/self/cgroup": "what\n", "sys/fs/cgroup/memory.max": "soon"},
			Memory{Total: 8 << 30, Available: 4 << 30},
			6 << 30,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ReadMemory(machine(c.files))
			if !ok || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, ok, c.want)
			}
			if got.Fitting() != c.fits {
				t.Errorf("Fitting = %d, want %d", got.Fitting(), c.fits)
			}
		})
	}
	if m, ok := ReadMemory(machine(nil)); ok {
		t.Errorf("a machine without files has %+v", m)
	}
}
