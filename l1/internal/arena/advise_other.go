//go:build !linux

package arena

// advise does nothing: there is no such advice here.
func advise([]byte) {}
