package flags

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
		want  memory
		fits  int64
	}{
		{"no control group", map[string]string{"proc/meminfo": meminfo}, memory{total: 8 << 30, available: 4 << 30}, 6 << 30},
		{
			"version 2, the parent's limit",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
				"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2147483648\n",
			},
			memory{total: 8 << 30, available: 4 << 30, group: 2 << 30},
			1 << 30,
		},
		{
			"version 2, in a container",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n",
			},
			memory{total: 8 << 30, available: 4 << 30, group: 512 << 20},
			384 << 20,
		},
		{
			"version 1",
			map[string]string{
				"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n",
				"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			},
			memory{total: 8 << 30, available: 4 << 30, group: 1 << 30},
			768 << 20,
		},
		{
			"a tiny limit",
			map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1048576\n"},
			memory{total: 8 << 30, available: 4 << 30, group: 1 << 20},
			64 << 20,
		},
		{
			"strange files",
			map[string]string{"proc/meminfo": meminfo + "\nx\n", "proc/self/cgroup": "what\n", "sys/fs/cgroup/memory.max": "soon"},
			memory{total: 8 << 30, available: 4 << 30},
			6 << 30,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := readMemory(machine(c.files))
			if !ok || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, ok, c.want)
			}
			if got.fitting() != c.fits {
				t.Errorf("fitting = %d, want %d", got.fitting(), c.fits)
			}
		})
	}
	if m, ok := readMemory(machine(nil)); ok {
		t.Errorf("a machine without files has %+v", m)
	}
}
