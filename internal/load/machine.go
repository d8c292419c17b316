package load

import (
	"runtime"
	"time"
)

// Machine tells what the processors of the generator's machine did during a run, warm-up included, in processors: 1.5 is one and a half of
// Cores.
type Machine struct {
	Cores   int
	Own     float64 // by this process
	Others  float64 // by all others; the server too, if it runs here
	Stolen  float64 // not given to this machine by what it runs on
	Known   bool    // Others and Stolen are known
	Busiest float64 // how much of one the generator's busiest thread took; 0 if not known
}

// watcher is what processors have done until a time.
type watcher struct {
	at    time.Time
	own   time.Duration
	whole idleTime
	known bool
}

// idleTime is how long all processors together did nothing, and how long they were taken away. How long they were busy is the rest: the
// kernel counts it by looking a hundred times a second, which misses what is short and regular.
type idleTime struct {
	cores        int
	idle, stolen time.Duration
}

func watch() watcher {
	w := watcher{at: time.Now(), own: processTime()}
	w.whole, w.known = systemTime()
	return w
}

// until is what processors did from w to now.
func (w watcher) until(now watcher) Machine {
	m := Machine{Cores: runtime.NumCPU(), Known: w.known && now.known}
	elapsed := now.at.Sub(w.at).Seconds()
	if elapsed <= 0 {
		return m
	}
	m.Own = (now.own - w.own).Seconds() / elapsed
	if m.Known {
		m.Cores = now.whole.cores
		m.Stolen = (now.whole.stolen - w.whole.stolen).Seconds() / elapsed
		m.Others = max(float64(m.Cores)-(now.whole.idle-w.whole.idle).Seconds()/elapsed-m.Stolen-m.Own, 0)
	}
	return m
}
