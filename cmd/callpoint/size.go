package main

import (
	"errors"
	"strconv"
	"strings"
)

// byteSize is a number of bytes: 1073741824, 1GiB, 512 MB.
type byteSize int64

var units = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

func (b *byteSize) EnvDecode(v string) error {
	number, unit := strings.TrimSpace(v), int64(1)
	for _, u := range units {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return errors.New("not a size: want a number of bytes, or a unit as in 512MiB or 2GB")
	}
	*b = byteSize(n * unit)
	return nil
}
