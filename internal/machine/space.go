package machine

// Space is the size of a file system in bytes and how much of it an unprivileged
// process can still take.
type Space struct {
	Total int64
	Free  int64
}
