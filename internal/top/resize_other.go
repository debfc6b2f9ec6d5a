//go:build !unix

package top

// notifyResize has nothing to listen to: the next drawing finds the size.
func notifyResize(chan<- struct{}) (stop func()) { return func() {} }
