package stat

import "math"

// Evidence follows one e-process through time. An e-process stays below 1/alpha for ever with probability 1 - alpha while its null
// hypothesis is true, however often one looks (Ville's inequality). The zero value is ready; the fields are public so that it can
// be written down and taken up again.
type Evidence struct {
	Closed  float64 // ln of the product of the segments that have ended
	Highest float64 // the largest ln E so far, at least 0
}

// Observe takes the present ln E of the running segment.
func (e *Evidence) Observe(logE float64) {
	if total := e.Closed + logE; total > e.Highest {
		e.Highest = total
	}
}

// EndSegment closes the running segment at its last ln E. New weights start a new segment with counts from zero; the product of
// the segments' e-values is again an e-process.
func (e *Evidence) EndSegment(logE float64) {
	e.Observe(logE)
	if !math.IsNaN(logE) {
		e.Closed += logE
	}
}

// P returns the always-valid p-value: the smallest 1/E so far.
func (e Evidence) P() float64 { return math.Exp(-e.Highest) }

// Rejects reports whether the null hypothesis has been refuted at error probability alpha.
func (e Evidence) Rejects(alpha float64) bool { return e.Highest >= -math.Log(alpha) }
