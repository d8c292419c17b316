package main

import "testing"

func TestGarbageGathersInProportionOnceMuchIsInUse(t *testing.T) {
	for _, tt := range []struct {
		inUse uint64
		want  int
	}{
		{0, 400},
		{1 << 20, 400},
		{16 << 20, 400},
		{20 << 20, 300},
		{32 << 20, 200},
		{64 << 20, 100},
		{8 << 30, 100},
	} {
		if got := garbagePercent(tt.inUse); got != tt.want {
			t.Errorf("%d bytes in use: %d percent, want %d", tt.inUse, got, tt.want)
		}
	}
}
