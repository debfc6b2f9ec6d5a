package servertest

import "syscall"

// sysProcAttr ends a server with the test process, however that ends.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
