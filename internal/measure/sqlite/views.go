package sqlite

import (
	"slices"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// Type is what a column of a view holds; any column may also hold NULL.
type Type string

// The types. A Time is text such as 2026-11-21 07:31:00.250, in UTC, that compares with what SQLite's date functions give.
const (
	Text Type = "text"
	Int  Type = "integer"
	Real Type = "real"
	Time Type = "time"
)

// Column is a column of a view.
type Column struct {
	Name string
	Type Type
	What string
}

// View is what can be asked in SQL.
type View struct {
	Name, What string
	Columns    []Column
}

// variantColumns tell whose figures a row has.
var variantColumns = []Column{
	{"service", Text, "the service, or the experiment"},
	{"epoch", Int, "the service's assignment epoch"},
	{"variant", Text, "the variant that was to answer"},
	{"version", Text, "the digest of its model version, empty if it has none"},
}

// shadowColumns tell whose comparisons a row has.
var shadowColumns = []Column{
	variantColumns[0],
	{"shadow", Text, "the variant that was sent copies"},
	{"shadow_version", Text, "its version: a digest, or what an upstream says"},
	{"variant", Text, "the variant that answered"},
	{"version", Text, "its version"},
	{"rule", Text, "what agreement means; figures of two rules do not add up"},
}

func perShadow(first []Column, columns ...Column) []Column {
	return slices.Concat(first, shadowColumns, columns)
}

func perMinute(columns ...Column) []Column {
	return append(append([]Column{{"minute", Time, "the minute's start"}}, variantColumns...), columns...)
}

// Views returns the documented views, of SchemaVersion. serin sql shows them.
func Views() []View {
	return []View{
		{"variant_minutes", "figures of each variant by minute; outcomes count in the minute of their decision", perMinute(
			Column{"requests", Int, "all that were to be answered by it"},
			Column{"client_errors", Int, "of them, answered 4xx"},
			Column{"server_errors", Int, "of them, failed otherwise: answered 5xx, or by a fallback or another variant in its place"},
			Column{"timeouts", Int, "of them, without an answer in time"},
			Column{"hang_ups", Int, "of them, left by the client"},
			Column{"fallbacks", Int, "of them, answered by the fallback"},
			Column{"limited", Int, "beside them, refused because of a limit (429)"},
			Column{"shed", Int, "of them, refused under overload"},
			Column{"first_errors", Int, "units that had their first error"},
			Column{"ok", Int, "successful requests, the sample of the latencies"},
			Column{"ok_micros", Int, "their latencies added up, in microseconds"},
			Column{"mean_micros", Real, "ok_micros / ok; over several rows use sum(ok_micros) * 1.0 / sum(ok)"},
			Column{"p50_micros", Real, "median latency within 1%; medians of minutes cannot be averaged"},
			Column{"p95_micros", Real, "95% were faster"},
			Column{"p99_micros", Real, "99% were faster"},
			Column{"labelled", Int, "predictions that verified feedback judged"},
			Column{"correct", Int, "of them, right"},
			Column{"unmatched", Int, "verified labels whose prediction is not known"},
			Column{"true_positives", Int, "of labelled, for binary classifiers"},
			Column{"false_positives", Int, "likewise"},
			Column{"true_negatives", Int, "likewise"},
			Column{"false_negatives", Int, "likewise"},
			Column{"unverified_labelled", Int, "predictions that feedback by id alone judged"},
			Column{"unverified_correct", Int, "of them, right"},
			Column{"late", Int, "outcomes that came after the attribution window; in no other column"},
			Column{"rewards", Int, "verified outcomes of kind reward"},
			Column{"reward_sum", Real, "their values added up"},
		)},
		{"variant_labels", "predictions by class and minute", perMinute(
			Column{"label", Text, "the predicted class"},
			Column{"n", Int, "how many"},
		)},
		{"variant_outcomes", "outcomes of all kinds by minute of their decision", perMinute(
			Column{"class", Text, "verified (by token), unverified (by id), attributed (by cookie) or byHand"},
			Column{"late", Int, "1 if they came after the attribution window"},
			Column{"kind", Text, "such as label, correct, reward, click"},
			Column{"n", Int, "how many"},
			Column{"sum", Real, "of their values"},
			Column{"squares", Real, "of their values, added up"},
			Column{"labelled", Int, "of n, those that judge a prediction"},
			Column{"correct", Int, "of labelled, right"},
		)},
		{"variant_confusions", "the confusion matrix by minute of the decision", perMinute(
			Column{"class", Text, "as in variant_outcomes"},
			Column{"truth", Text, "the true class; empty if all that is known is that the prediction was wrong"},
			Column{"predicted", Text, "the predicted class"},
			Column{"n", Int, "how many"},
		)},
		{"decisions", "decisions one by one: the newest, of many a sample; rates come from variant_minutes, which counts all", []Column{
			{"id", Text, "UUIDv7, so that order by id is order by time"},
			{"at", Time, "when it was made"},
			{"kind", Text, "variant or rank"},
			variantColumns[0], variantColumns[1],
			{"policy_version", Int, "which weights or posterior decided"},
			{"unit", Text, "the user, as a keyed hash"},
			{"request_id", Text, "the client's own id"},
			{"assigned", Text, "the variant that was to answer"},
			{"answered", Text, "the one that did, or fallback"},
			variantColumns[3],
			{"reason", Text, "weights, match, failover, fallback, holdout or byHand"},
			{"propensity", Real, "the probability that the choice was made with"},
			{"status", Int, "of the answer, as in HTTP"},
			{"micros", Int, "how long it took, in microseconds"},
			{"upstream_micros", Int, "how much of it an upstream took"},
			{"label", Text, "what was predicted"},
			{"score", Real, "with which score"},
			{"slots", Text, "of a ranking: JSON list of slot, arm, position, propensity"},
			{"payload", Text, "the reference of the captured payload"},
			{"share", Real, "the probability with which it was kept here: 1 where all were; one row stands for 1 / share decisions"},
		}},
		{"outcomes", "what came back, one by one", []Column{
			{"id", Text, "the caller's, or a hash of decision, slot and kind"},
			{"decision", Text, "the decision's id"},
			{"slot", Int, "of a ranking"},
			{"kind", Text, "such as label, correct, reward, click"},
			{"number", Real, "the value, if it is a number"},
			{"label", Text, "the value, if it is text"},
			{"at", Time, "the client's clock"},
			{"received_at", Time, "the server's clock"},
			{"decided_at", Time, "when the decision was made"},
			{"status", Text, "counted, late, unknown (no such decision), or waiting for it"},
			{"class", Text, "as in variant_outcomes"},
			variantColumns[0], variantColumns[1], variantColumns[2], variantColumns[3],
			{"policy_version", Int, "as in decisions"},
			{"propensity", Real, "as in decisions"},
			{"unit", Text, "as in decisions"},
			{"correct", Int, "1 or 0 if it judges the prediction"},
		}},
		{"outcome_counts", "what became of all outcomes in the log", []Column{
			variantColumns[0],
			{"status", Text, "counted, late, unknown, duplicate or conflict"},
			{"n", Int, "how many"},
		}},
		{"traffic_changes", "the shares that decisions state, and when each was first seen", []Column{
			{"at", Time, "of the first decision under it"},
			variantColumns[0], variantColumns[1],
			{"policy_version", Int, "which weights"},
			variantColumns[2],
			{"share", Real, "the variant's probability"},
			{"units", Int, "units first seen there in this epoch"},
		}},
		{"shadow", "what comparisons of shadows have found, by minute, version of either side, and rule", perShadow([]Column{{"minute", Time, "the minute's start"}},
			Column{"pairs", Int, "answers that were compared"},
			Column{"agreed", Int, "of them, those that agree"},
			Column{"primary_failed", Int, "copies that the shadow answered and the variant had not"},
			Column{"shadow_failed", Int, "the other way round"},
			Column{"both_failed", Int, "neither answered"},
			Column{"timeouts", Int, "the shadow was late"},
			Column{"incomparable", Int, "the answers had nothing to compare"},
			Column{"dropped_queue", Int, "not copied: as many copies waited as may"},
			Column{"dropped_bytes", Int, "not copied: what waited was too large"},
			Column{"dropped_too_large", Int, "not copied: request or answer too large"},
			Column{"dropped_streaming", Int, "not copied: request or answer a stream"},
			Column{"dropped_draining", Int, "not copied, or not answered: the server was about to stop, or a reload changed the shadow"},
			Column{"dropped_unavailable", Int, "not copied: the shadow could not be asked"},
			Column{"dropped_method", Int, "not copied: the method may change something"},
			Column{"slower_micros", Int, "the shadow's latency less the variant's, summed over pairs, in microseconds"},
			Column{"p50_micros", Real, "median latency of the variant that answered, over pairs"},
			Column{"p99_micros", Real, "99% were faster"},
			Column{"shadow_p50_micros", Real, "median latency of the shadow, over pairs"},
			Column{"shadow_p99_micros", Real, "99% were faster"},
			Column{"overlap_sum", Real, "the share of the first k that both had, summed over pairs; 0 under other rules"},
			Column{"scored", Int, "pairs with a score"},
			Column{"score_sum", Real, "the shadow's score less the variant's, summed over them"},
		)},
		{"disagreements", "pairs that do not agree, some a second; rates come from shadow, which counts all", perShadow([]Column{{"decision", Text, "the decision's id"}, {"at", Time, "when it was made"}},
			Column{"status", Int, "of the answer, as in HTTP"},
			Column{"shadow_status", Int, "of the shadow's"},
			Column{"micros", Int, "how long it took, in microseconds"},
			Column{"shadow_micros", Int, "how long the shadow's took"},
			Column{"label", Text, "what was predicted"},
			Column{"shadow_label", Text, "what the shadow predicted"},
			Column{"score", Real, "with which score"},
			Column{"shadow_score", Real, "with which score"},
			Column{"difference", Real, "the largest, the shadow's less the variant's"},
			Column{"overlap", Real, "the share of the first k that both had"},
			Column{"parting", Text, "where the answers part"},
			Column{"answer", Text, "the answer, cut, where it may be kept: see capture"},
			Column{"shadow_answer", Text, "the shadow's"},
		)},
		{"log_gaps", "parts of the log that could not be read", []Column{
			{"from_place", Int, "offset"},
			{"to_place", Int, "offset"},
			{"why", Text, "the reason"},
		}},
		{"schema_version", "the version of these views", []Column{
			{"version", Int, "raised when a column goes or changes its meaning"},
		}},
	}
}

// viewNamed finds a view.
func viewNamed(name string) (View, error) {
	views := Views()
	i := slices.IndexFunc(views, func(v View) bool { return v.Name == name })
	if i < 0 {
		return View{}, fault.NotFoundf("there is no view %.60q", name).WithHint("the views are %s", viewList())
	}
	return views[i], nil
}

func viewList() string {
	var names []string
	for _, v := range Views() {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}
