package fake

import (
	"fmt"
	"sync"
)

// maxViolations bounds what is kept; further ones are only passed on.
const maxViolations = 1000

// violations collects what callers did wrong. The zero value is empty.
type violations struct {
	mu struct {
		sync.Mutex
		list []string
	}
}

// Violations returns what callers of the device did that no correct caller
// does, in order of detection; at most the first 1000 are kept.
func (d *Device) Violations() []string {
	d.violations.mu.Lock()
	defer d.violations.mu.Unlock()
	return append([]string(nil), d.violations.mu.list...)
}

// violate keeps one violation and tells the hook.
func (d *Device) violate(format string, args ...any) {
	text := d.name + ": " + fmt.Sprintf(format, args...)
	d.violations.mu.Lock()
	if len(d.violations.mu.list) < maxViolations {
		d.violations.mu.list = append(d.violations.mu.list, text)
	}
	d.violations.mu.Unlock()
	if hook := d.opts.OnViolation; hook != nil {
		hook(text)
	}
}
