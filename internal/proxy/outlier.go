package proxy

import (
	"fmt"
	"math"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Outlier says when an instance is ejected for how it answers, as Envoy's outlier detection has it (config.cluster.v3.OutlierDetection;
// names, defaults and arithmetic are those of its source). A failure is an answer of 500 and more, or none: no connection, a broken one, no
// answer in time. A gRPC call is judged by what it ended with.
//
// The n-th ejection in a row lasts n times BaseEjectionTime, at most MaxEjectionTime; n goes down by one for each Interval that passes
// without. One instance may always be ejected (Envoy's always_eject_one_host), more only as MaxEjectionPercent allows. An upstream of one
// instance is thus without any while that is ejected: see Ask.
//
// There is one difference: when its time is over, one request tries the instance, and failure ejects it again at once, where Envoy would
// hand it its whole share of requests until it fails by the same rule again. And one that was ejected for giving no answers is asked before
// its time if no instance at all is left, unless it is the only one, and as soon as it is there again if it was not there (see health.go).
type Outlier struct {
	Consecutive5xx            int           // failures in a row that eject; 0: none. Envoy's default: 5
	ConsecutiveGatewayFailure int           // the same of answers of 502, 503 and 504, and of none; 0: none. Envoy enforces none
	Interval                  time.Duration // between comparisons of instances; 10 s
	BaseEjectionTime          time.Duration // 30 s
	MaxEjectionTime           time.Duration // 300 s, or BaseEjectionTime if that is more
	MaxEjectionPercent        int           // of all instances, at once; 0: one. Envoy's default: 10

	EnforcingSuccessRate     int // chance in percent that one is ejected whose share of good answers is an outlier; 0: none. Envoy: 100
	SuccessRateMinimumHosts  int // that had enough requests, without which nothing is compared; 5
	SuccessRateRequestVolume int // that are enough, in an Interval; 100
	SuccessRateStdevFactor   int // thousandths of a standard deviation below the mean at which an outlier begins; 1900

	EnforcingFailurePercentage     int // chance in percent that one is ejected that fails as often as this; 0: none, as with Envoy
	FailurePercentageThreshold     int // percent; 85
	FailurePercentageMinimumHosts  int // 5
	FailurePercentageRequestVolume int // 50
}

// DefaultOutlier returns Envoy's defaults.
func DefaultOutlier() *Outlier {
	o := Outlier{Consecutive5xx: 5, MaxEjectionPercent: 10, EnforcingSuccessRate: 100}.complete()
	return &o
}

func (o Outlier) complete() Outlier {
	o.Interval = either(o.Interval, 10*time.Second)
	o.BaseEjectionTime = either(o.BaseEjectionTime, 30*time.Second)
	o.MaxEjectionTime = either(o.MaxEjectionTime, max(300*time.Second, o.BaseEjectionTime))
	o.SuccessRateMinimumHosts = either(o.SuccessRateMinimumHosts, 5)
	o.SuccessRateRequestVolume = either(o.SuccessRateRequestVolume, 100)
	o.SuccessRateStdevFactor = either(o.SuccessRateStdevFactor, 1900)
	o.FailurePercentageThreshold = either(o.FailurePercentageThreshold, 85)
	o.FailurePercentageMinimumHosts = either(o.FailurePercentageMinimumHosts, 5)
	o.FailurePercentageRequestVolume = either(o.FailurePercentageRequestVolume, 50)
	return o
}

func (o *Outlier) check() error {
	for _, n := range []int64{
		int64(o.Consecutive5xx), int64(o.ConsecutiveGatewayFailure), int64(o.Interval), int64(o.BaseEjectionTime), int64(o.MaxEjectionPercent),
		int64(o.EnforcingSuccessRate), int64(o.SuccessRateMinimumHosts), int64(o.SuccessRateRequestVolume), int64(o.SuccessRateStdevFactor),
		int64(o.EnforcingFailurePercentage), int64(o.FailurePercentageThreshold), int64(o.FailurePercentageMinimumHosts),
		int64(o.FailurePercentageRequestVolume),
	} {
		if n < 0 {
			return fault.Invalidf("an upstream's outlier detection has a number below 0")
		}
	}
	if o.MaxEjectionTime < o.BaseEjectionTime {
		return fault.Invalidf("the longest ejection of outlier detection is shorter than the first: %v, %v", o.MaxEjectionTime, o.BaseEjectionTime)
	}
	return nil
}

// out is how long the n-th ejection in a row lasts.
func (o *Outlier) out(n int) time.Duration {
	if n > int(o.MaxEjectionTime/o.BaseEjectionTime) {
		return o.MaxEjectionTime
	}
	return time.Duration(n) * o.BaseEjectionTime
}

// suspect counts a failure, and ejects the instance if it is one too many. The lock is held.
func (u *Upstream) suspect(in *instance, probe bool, f *outcome, at time.Duration) {
	o := u.o.Outlier
	if o == nil {
		return
	}
	if in.ejected {
		if probe {
			in.why = f.why()
			u.eject(in, f.passive, at)
		}
		return
	}
	in.consecutive5xx++
	in.consecutiveGateway++
	if !f.gateway {
		in.consecutiveGateway = 0
	}
	switch {
	case in.consecutive5xx == o.Consecutive5xx:
		in.consecutive5xx = 0
		u.outlie(in, at, f.passive, 100, fmt.Sprintf("%d failures in a row, the last: %s", o.Consecutive5xx, f.why()))
	case f.gateway && in.consecutiveGateway == o.ConsecutiveGatewayFailure:
		in.consecutiveGateway = 0
		u.outlie(in, at, f.passive, 100, fmt.Sprintf("%d failures of the kind of gateways in a row, the last: %s", o.ConsecutiveGatewayFailure, f.why()))
	}
}

// outlie ejects an outlier, with a chance, if not too many are ejected. The lock is held.
func (u *Upstream) outlie(in *instance, at time.Duration, mute bool, chance int, why string) {
	out := 0
	for _, other := range u.all {
		if other.ejected {
			out++
		}
	}
	if out > 0 && 100*(out+1) > u.o.Outlier.MaxEjectionPercent*len(u.all) {
		u.overflow.Add(1)
		return
	}
	if chance < 100 && int(u.o.Random()%100) >= chance {
		return
	}
	in.why = why
	u.eject(in, mute, at)
}

// eject ejects an instance, again if it is ejected. mute says that it gave no answer. The lock is held; who calls settles the instance.
func (u *Upstream) eject(in *instance, mute bool, at time.Duration) {
	o := u.o.Outlier
	in.ejected, in.mute, in.ejectedAt = true, mute, at
	in.ejections++
	u.ejections.Add(1)
	if time.Duration(in.backoff)*o.BaseEjectionTime < o.MaxEjectionTime+o.BaseEjectionTime {
		in.backoff++
	}
}

// uneject ends an ejection. What led to it is forgotten.
func (in *instance) uneject(at time.Duration) {
	in.ejected, in.returnedAt = false, at
	in.consecutive5xx, in.consecutiveGateway = 0, 0
}

// sweep compares the instances by what they answered since the last sweep. It is called every Interval.
func (u *Upstream) sweep() {
	u.mu.Lock()
	at := u.clock()
	u.compare(at)
	for _, in := range u.all {
		if !in.ejected && in.backoff > 0 && at-in.returnedAt >= u.o.Outlier.Interval {
			in.backoff--
		}
		u.settle(in, false)
	}
	told := u.told()
	u.mu.Unlock()
	u.tell(told)
}

// share is what an instance answered in an interval.
type share struct {
	in   *instance
	n    int
	good float64 // percent
}

// compare ejects those that are outliers by success rate or by failure percentage. The lock is held.
func (u *Upstream) compare(at time.Duration) {
	o := u.o.Outlier
	var bySuccess, byFailure []share
	for _, in := range u.all {
		asked, faults := in.asked()-in.failures[Gone].Load()-in.failures[Full].Load(), in.faults
		n, bad := asked-in.sweptAsked, faults-in.sweptFaults
		in.sweptAsked, in.sweptFaults = asked, faults
		if in.ejected || n <= 0 {
			continue
		}
		s := share{in, int(n), 100 * float64(max(0, n-bad)) / float64(n)}
		if s.n >= o.SuccessRateRequestVolume {
			bySuccess = append(bySuccess, s)
		}
		if s.n >= o.FailurePercentageRequestVolume {
			byFailure = append(byFailure, s)
		}
	}
	if len(bySuccess) >= o.SuccessRateMinimumHosts && o.EnforcingSuccessRate > 0 {
		least := leastSuccess(bySuccess, float64(o.SuccessRateStdevFactor)/1000)
		for _, s := range bySuccess {
			if s.good < least {
				u.outlie(s.in, at, false, o.EnforcingSuccessRate, fmt.Sprintf("%.1f%% of its answers were good, where %.1f%% are the least among the instances", s.good, least))
			}
		}
	}
	if len(byFailure) >= o.FailurePercentageMinimumHosts && o.EnforcingFailurePercentage > 0 {
		for _, s := range byFailure {
			if !s.in.ejected && 100-s.good >= float64(o.FailurePercentageThreshold) {
				u.outlie(s.in, at, false, o.EnforcingFailurePercentage, fmt.Sprintf("%.1f%% of its answers were failures", 100-s.good))
			}
		}
	}
}

// leastSuccess is the share of good answers below which one is an outlier: the mean, less factor standard deviations of all there are.
func leastSuccess(of []share, factor float64) float64 {
	mean, squares := 0.0, 0.0
	for _, s := range of {
		mean += s.good / float64(len(of))
	}
	for _, s := range of {
		squares += (s.good - mean) * (s.good - mean)
	}
	return mean - factor*math.Sqrt(squares/float64(len(of)))
}
