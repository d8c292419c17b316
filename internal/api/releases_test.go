package api_test

import (
	"testing"

	"github.com/serin-ml/serin/internal/api"
)

func TestTimesAreWrittenByTheirTwoLargestUnits(t *testing.T) {
	for seconds, want := range map[api.Seconds]string{
		0: "0s", 0.25: "250ms", 1: "1s", 6: "6s", 5.983: "6s", 8.316: "8.3s", 60: "1m", 90: "1m30s", 117.4: "1m57s", 3600: "1h", 5400: "1h30m", 43200: "12h",
		86400: "1d", 90000: "1d1h", 7 * 86400: "7d",
	} {
		if got := seconds.String(); got != want {
			t.Errorf("%v s are %s, want %s", float64(seconds), got, want)
		}
	}
}
