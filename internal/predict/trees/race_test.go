//go:build race

package trees

const raceDetector = true // under it, sync.Pool drops things at random
