package l1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/machine"
	"github.com/lmcache-go/lmcache/l1/internal/pool"
)

// MemoryError says that a cache is larger than the memory that this process can
// have. Sizes are in bytes.
type MemoryError struct {
	Bytes int64 // asked for
	Total int64 // of the machine
	Group int64 // limit of the control group; 0: none
	Fits  int64 // a size that leaves a quarter of the memory to the rest
}

// Error names both limits and a size that fits.
func (e *MemoryError) Error() string {
	group := "unlimited"
	if e.Group > 0 {
		group = strconv.FormatInt(e.Group, 10)
	}
	return fmt.Sprintf("l1: Bytes: %d is more than this machine has (total %d, control group %s); %d would fit", e.Bytes, e.Total, group, e.Fits)
}

// HugePagesError says that fewer huge pages are free than the cache needs.
type HugePagesError struct{ Need, Free int64 } // pages of 2 MiB

// Error names both numbers.
func (e *HugePagesError) Error() string {
	return fmt.Sprintf("l1: HugePages: %d pages of 2 MiB are needed and %d are free; raise vm.nr_hugepages", e.Need, e.Free)
}

// ShmSpaceError says that the file system of shared memory is smaller than the
// cache. Sizes are in bytes.
type ShmSpaceError struct {
	Dir          string
	Bytes, Total int64
}

// Error names both sizes.
func (e *ShmSpaceError) Error() string {
	return fmt.Sprintf("l1: ShmName: %s has %d bytes in all, less than the %d of the cache", e.Dir, e.Total, e.Bytes)
}

// ShmInUseError says that another live process has the segment of that name.
type ShmInUseError = pool.InUseError

// CheckMachine reports all that this machine cannot give, as *MemoryError,
// *HugePagesError and *ShmSpaceError; nil if nothing is known to be in the way.
// Open does it too. Options that say NoBytes ask for nothing.
func (o Options) CheckMachine() error {
	o = o.withDefaults()
	if o.NoBytes {
		return nil
	}
	root := o.machine
	if root == nil {
		root = os.DirFS("/")
	}
	var errs []error
	if m, ok := machine.ReadMemory(root); ok && o.Bytes > m.Limit() {
		errs = append(errs, &MemoryError{Bytes: o.Bytes, Total: m.Total, Group: m.Group, Fits: m.Fitting()})
	}
	if o.HugePages {
		need := (o.Bytes + machine.HugePage - 1) / machine.HugePage
		if free, ok := machine.FreeHugePages(root); ok && free < need {
			errs = append(errs, &HugePagesError{Need: need, Free: free})
		}
	}
	if o.ShmName != "" {
		switch s, err := machine.ReadSpace(o.ShmDir); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("l1: ShmDir: %w", err))
		case err == nil && s.Total > 0 && s.Total < o.Bytes:
			errs = append(errs, &ShmSpaceError{Dir: o.ShmDir, Bytes: o.Bytes, Total: s.Total})
		}
	}
	return errors.Join(errs...)
}
