//go:build !race

package engine_test

const simRace = false
