package flags

import (
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/machine"
)

// L1Memory holds the flags that say what the memory of the first tier is and when
// it is made ready.
type L1Memory struct {
	UseLazy      bool      `name:"l1-use-lazy" group:"L1 and eviction" default:"true" help:"Get most of the memory in the background; without it all is there and touched before the start is done"`
	InitSizeGB   cli.Bytes `name:"l1-init-size-gb" group:"L1 and eviction" unit:"GiB" default:"20" min:"0" help:"Memory that is there at the start with --l1-use-lazy, rounded up to 64 MiB"`
	UseHugepages bool      `name:"l1-use-hugepages" group:"L1 and eviction" help:"Pages of 2 MiB that were set aside (vm.nr_hugepages); implies --no-l1-use-lazy; not with --shm-name"`
	ShmName      string    `name:"shm-name" group:"L1 and eviction" help:"Puts L1 into shared memory of this name, with lmcache_l1_pool_ before it; auto takes the process id"`
	ShmMode      string    `name:"shm-mode" group:"L1 and eviction" default:"0600" choices:"0600,0660,0666" help:"Who may use the shared memory"`
}

// shmDir is where the system keeps shared memory.
const shmDir = "/dev/shm"

// host is what checks ask the machine.
type host struct {
	root  fs.FS // of /proc and /sys
	space func(dir string) (machine.Space, error)
}

// nowhere is a machine of which nothing is known, and on which everything fits.
func nowhere() host {
	return host{root: noFiles{}, space: func(string) (machine.Space, error) { return machine.Space{}, fs.ErrNotExist }}
}

// noFiles is an empty file system.
type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func thisHost() host { return host{root: os.DirFS("/"), space: machine.ReadSpace} }

// InitBytes is the memory at the start; 0 if it was not asked for.
func (m *L1Memory) InitBytes() int64 { return int64(m.InitSizeGB) }

// FileMode is the mode of the shared memory.
func (m *L1Memory) FileMode() fs.FileMode {
	n, err := strconv.ParseUint(m.ShmMode, 8, 32)
	if err != nil {
		return 0 // was reported as no choice
	}
	return fs.FileMode(n)
}

// check reports values that do not fit each other or this machine; size is that of
// L1 in bytes, 0 if it is not known.
func (m *L1Memory) check(p *cli.Problems, h host, size int64) {
	if strings.ContainsAny(m.ShmName, "/\x00") {
		p.Flag("shm-name", "must be a name without a slash, got %q", m.ShmName)
	}
	if m.UseHugepages && m.ShmName != "" {
		p.Flag("l1-use-hugepages", "excludes --shm-name")
	}
	if p.IsSet("shm-mode") && m.ShmName == "" && !p.IsBad("shm-mode") {
		p.Warn("--shm-mode has no effect without --shm-name")
	}
	if size == 0 {
		return
	}
	if need := (size + machine.HugePage - 1) / machine.HugePage; m.UseHugepages {
		if free, ok := machine.FreeHugePages(h.root); ok && free < need {
			p.Machine("l1-use-hugepages", "%d pages of 2 MiB are needed and %d are free; raise vm.nr_hugepages", need, free)
		}
	}
	if m.ShmName == "" {
		return
	}
	if s, err := h.space(shmDir); err == nil && s.Total > 0 && s.Total < size {
		p.Machine("shm-name", "%s has %v in all, less than the %v of L1", shmDir, cli.Bytes(s.Total), cli.Bytes(size))
	}
}
