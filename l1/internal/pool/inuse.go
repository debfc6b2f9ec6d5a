package pool

import "fmt"

// InUseError says that another live process has the segment of that name.
type InUseError struct{ Path string }

// Error names the file.
func (e *InUseError) Error() string {
	return fmt.Sprintf("shared memory %s belongs to another running process; choose another name", e.Path)
}
