//go:build !race

package trees

const raceDetector = false
