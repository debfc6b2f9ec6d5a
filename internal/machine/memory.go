package machine

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// sizeStep is what Fitting is a multiple of below one GiB, in bytes.
const sizeStep = 64 << 20

// Memory is what the machine offers, in bytes.
type Memory struct {
	Total     int64
	Available int64 // 0: unknown
	Group     int64 // limit of the control group; 0: none
}

// Limit is what a process can have at most; 0 if Total is not known.
func (m Memory) Limit() int64 {
	if m.Group > 0 {
		return min(m.Group, m.Total)
	}
	return m.Total
}

// Fitting is a size for a large cache that leaves a quarter of the memory to the
// rest: in whole GiB, or below one in steps of 64 MiB.
func (m Memory) Fitting() int64 {
	n := m.Limit() / 4 * 3
	if n >= 1<<30 {
		return n >> 30 << 30
	}
	return max(n/sizeStep*sizeStep, sizeStep)
}

// ReadMemory reads /proc/meminfo and the limit of the control group below root.
// ok is false where there is no such file.
func ReadMemory(root fs.FS) (m Memory, ok bool) {
	data, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return m, false
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			m.Total = kib << 10
		case "MemAvailable:":
			m.Available = kib << 10
		}
	}
	m.Group = groupLimit(root)
	return m, m.Total > 0
}

// groupLimit is the smallest memory limit of the control groups that this
// process is in, of version 2 or 1; 0 if there is none.
func groupLimit(root fs.FS) int64 {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	var limit int64
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var base, file string
		switch {
		case parts[0] == "0" && parts[1] == "":
			base, file = "sys/fs/cgroup", "memory.max"
		case parts[1] == "memory":
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			limit = smaller(limit, readLimit(root, path.Join(base, dir, file)))
			if dir == "/" {
				break
			}
		}
	}
	return limit
}

// smaller is the smaller of two limits of which 0 means none.
func smaller(a, b int64) int64 {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}

// noLimit is above every real limit: version 1 writes a number near the largest
// int64 where there is none.
const noLimit = 1 << 62

func readLimit(root fs.FS, name string) int64 {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || n >= noLimit {
		return 0 // "max"
	}
	return n
}
