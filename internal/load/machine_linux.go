package load

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// processTime is how long all threads of this process have run on processors.
func processTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// systemTime is what all processors have not done since the machine was started.
func systemTime() (idleTime, bool) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return idleTime{}, false
	}
	return readStat(stat)
}

// readStat reads /proc/stat: a line of all processors (user, nice, system, idle, iowait, irq, softirq, steal, ... in hundredths of a
// second) and one of each.
func readStat(stat []byte) (t idleTime, ok bool) {
	const tick, idle, iowait, steal = 10 * time.Millisecond, 4, 5, 8
	for line := range bytes.Lines(stat) {
		fields := bytes.Fields(line)
		if len(fields) <= steal || !bytes.HasPrefix(fields[0], []byte("cpu")) {
			break
		}
		if len(fields[0]) > len("cpu") {
			t.cores++
			continue
		}
		for _, at := range []int{idle, iowait, steal} {
			n, err := strconv.ParseInt(string(fields[at]), 10, 64)
			if err != nil {
				return idleTime{}, false
			}
			if at == steal {
				t.stolen = time.Duration(n) * tick
			} else {
				t.idle += time.Duration(n) * tick
			}
		}
	}
	return t, t.cores > 0
}
