package pgtest

import "syscall"

// endWithUs ends a server when the test that started it dies.
func endWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
