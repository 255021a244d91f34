//go:build !linux

package boltkv

// isMountPoint reports false: single files cannot be mounted here.
func isMountPoint(string) bool { return false }
