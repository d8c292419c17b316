// Package stat is pure statistics: numbers in, numbers out; no clock, no randomness, no disk.
package stat
