package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"time"
)

// side is one side of a duel.
type side struct {
	run   func(turn int) error // what is timed
	after func() error         // what is not; may be nil
}

// duel runs every side turns times a round, one side after the other and each round another first, on one thread. It returns the median
// seconds that a turn of each takes. Short turns are the fairer on a busy machine: few of them are interrupted. A round before the others,
// of which nothing is kept, warms up.
func duel(what string, rounds, turns int, sides ...side) ([]float64, error) {
	fmt.Fprintf(os.Stderr, "bench: %s, %d rounds\n", what, rounds)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	seconds := make([][]float64, len(sides))
	start, used := time.Now(), threadTime()
	for round := range rounds + 1 {
		for i := range sides {
			at := (round + i) % len(sides)
			for turn := range turns {
				took, err := sides[at].turn(round*turns + turn)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", what, err)
				}
				if round > 0 {
					seconds[at] = append(seconds[at], took)
				}
			}
		}
	}
	if share := (threadTime() - used).Seconds() / time.Since(start).Seconds(); share < 0.9 {
		fmt.Fprintf(os.Stderr, "bench: %s: the thread ran for %.0f %% of that time only; is the machine busy?\n", what, 100*share)
	}
	medians := make([]float64, len(sides))
	for i := range sides {
		medians[i] = median(seconds[i])
	}
	return medians, nil
}

// turn times one turn.
func (s side) turn(number int) (seconds float64, err error) {
	begin := time.Now()
	err = s.run(number)
	seconds = time.Since(begin).Seconds()
	if err == nil && s.after != nil {
		err = s.after()
	}
	return seconds, err
}

// allocations returns how many a call makes: of some tries the fewest, as the runtime itself may make one meanwhile.
func allocations(call func() error) (uint64, error) {
	const tries, calls = 10, 100
	fewest := uint64(math.MaxUint64)
	var before, after runtime.MemStats
	for range tries {
		runtime.ReadMemStats(&before)
		for range calls {
			if err := call(); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		fewest = min(fewest, (after.Mallocs-before.Mallocs)/calls)
	}
	return fewest, nil
}

// agree is an error where two answers differ by more than the tolerance, relative to the largest of every width numbers of the second.
func agree[F number](what string, got, want []F, width int, tolerance float64) error {
	if len(got) != len(want) || len(want) == 0 {
		return fmt.Errorf("%s: %d numbers, the rival gives %d", what, len(got), len(want))
	}
	worst := 0.0
	for from := 0; from < len(want); from += width {
		largest := 0.0
		for _, w := range want[from : from+width] {
			largest = max(largest, math.Abs(float64(w)))
		}
		for i := from; i < from+width; i++ {
			e := math.Abs(float64(got[i]) - float64(want[i]))
			if !(e <= tolerance*largest) { // a NaN is no agreement
				return fmt.Errorf("%s: number %d is %v, the rival gives %v", what, i, got[i], want[i])
			}
			if e > 0 {
				worst = max(worst, e/largest)
			}
		}
	}
	fmt.Fprintf(os.Stderr, "bench: %s: %d numbers agree with the rival's within %.1g\n", what, len(want), worst)
	return nil
}

// row prints a row of the table of duels.
func row(what string, ours, theirs float64, rival, target string) {
	fmt.Printf("| %s | %s | %s | %s | %.2f | %s |\n", what, duration(ours), duration(theirs), rival, ours/theirs, target)
}

// duration writes seconds with three digits.
func duration(seconds float64) string {
	unit := "s"
	for _, smaller := range []string{"ms", "µs", "ns"} {
		if seconds < 1 {
			seconds, unit = seconds*1000, smaller
		}
	}
	return fmt.Sprintf("%.*f %s", max(0, 2-int(math.Floor(math.Log10(seconds)))), seconds, unit)
}
