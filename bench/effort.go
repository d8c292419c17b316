package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// effort is what work took: processor time of the whole process, with what runs beside it (a garbage collection, a write), and time by
// the clock, both in seconds. On a busy machine the first is the one to believe.
type effort struct{ cpu, elapsed float64 }

// spend measures work. What others left for the garbage collector is not paid by it.
func spend(work func() error) (effort, error) {
	runtime.GC()
	used, begin := processTime(), time.Now()
	err := work()
	return effort{(processTime() - used).Seconds(), time.Since(begin).Seconds()}, err
}

// per is the effort of one of n.
func (e effort) per(n int) effort { return effort{e.cpu / float64(n), e.elapsed / float64(n)} }

// contest has every side try once a round, one after the other and each round another first, and returns the efforts of each by round.
// What a side prepares it does not count. A round before the others, of which nothing is kept, warms up.
func contest(what string, rounds int, sides ...func() (effort, error)) ([][]effort, error) {
	fmt.Fprintf(os.Stderr, "bench: %s, %d rounds\n", what, rounds)
	efforts := make([][]effort, len(sides))
	for round := range rounds + 1 {
		for i := range sides {
			at := (round + i) % len(sides)
			took, err := sides[at]()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			if round > 0 {
				efforts[at] = append(efforts[at], took)
			}
		}
	}
	return efforts, nil
}

// typical is the median effort, of each kind of time for itself.
func typical(efforts []effort) effort {
	return effort{
		cpu:     median(each(efforts, func(e effort) float64 { return e.cpu })),
		elapsed: median(each(efforts, func(e effort) float64 { return e.elapsed })),
	}
}

// added is the median of what each round of one took more than the same round of another, in seconds of processor time.
func added(to, by []effort) float64 {
	more := make([]float64, len(by))
	for i := range more {
		more[i] = by[i].cpu - to[i].cpu
	}
	return median(more)
}

// processTime is how long all threads of this process have run on processors, as far as the system tells.
func processTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// threadTime is how long this thread has.
func threadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(which int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(which, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
