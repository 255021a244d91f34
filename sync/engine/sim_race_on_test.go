//go:build race

package engine_test

// simRace: the race detector makes everything several times slower.
const simRace = true
