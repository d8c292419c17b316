// Package stat is pure statistics: numbers in, numbers out; no clock, no randomness, no disk, no state but the caller's.
//
// What to use when:
//
//	question                                            use
//	how fast are the answers                            Sketch: quantiles within 1%, mergeable
//	mean of a latency or reward; its difference         Moments -> Estimate, Difference, Lift -> MeanSequence
//	the same, several requests per user                 Ratio (one pair per unit bucket) -> the same
//	accuracy of two arms                                Share or Ratio.ShareEstimate -> Difference -> MeanSequence
//	the same with few errors or few labels              ShareSequence.Difference
//	error rate, slow requests, accuracy against a bar   ShareSequence (also for few data and rare events)
//	who has more errors or complaints                   SplitTest with EventsKappa on the counts, LogEMore for harm
//	paired answers of a shadow                          SplitTest with EventsKappa and weights 1, 1 on the disagreements
//	does traffic split as configured                    SplitTest with UnitsKappa on users; ChiSquareSplit for a single look
//	p99 of one arm or of two                            QuantileSequence on sketches; QuantileABTest on raw values
//	all quantiles at once                               Band
//	weights changed on the way                          Evidence, one segment per setting of the weights
//	how long will it take                               Plan, EventsNeeded, ShareSequence.Clean, QuantileSequence.MinSamples
//	labels for some of the decisions only               Coverage
//
// Everything named Sequence, Test or Band is anytime-valid: its promise holds over all looks together, so one may look after each
// request and stop when one likes. The fixed-sample exception is ChiSquareSplit. An e-value E measures evidence against a null
// hypothesis; it reaches 1/alpha with probability alpha at most while that is true. E-values are kept as ln E, because E overflows.
//
// Several guardrails: a promotion demands that all of them pass, each at alpha. A rollback happens if any one fires: give each
// alpha divided by their number, so that the stated rate of false rollbacks holds.
//
// What no sequence can mend: observations that depend on each other. Requests of one user do. Count users, or use Ratio.
package stat
