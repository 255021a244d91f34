package main

import (
	"os"
	"runtime"
)

// spareProcessors lets two threads more run Go code than there are cores. One that waits for the
// disk gives its place up only after a while, and on a small machine requests wait with it.
func spareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
}
