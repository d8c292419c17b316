package prometheus

import (
	"slices"
	"strings"
)

// Labels that tell what a query is about. Names differ between exporters; these are the common ones.
var (
	statusLabels  = []string{"status", "code", "status_code", "statuscode", "http_status", "http_status_code", "http_response_status_code", "response_code", "response_code_class", "status_class", "grpc_code", "class", "outcome", "result"}
	variantLabels = []string{"variant", "version", "model_version", "app_version", "service_version", "revision", "track", "release", "canary", "deployment", "workload", "destination_workload", "pod", "instance", "job", "predictor_name", "upstream", "backend"}
	counters      = []string{"_total", "_sum", "_count", "_bucket"}
)

// QueryWarnings tells what a query in PromQL does not say that a verdict needs: over which time, of which requests, and of which variant. It
// looks at words alone, so a query without warnings can still be wrong, and one with warnings be meant so.
func QueryWarnings(query string) (warnings []string) {
	w := wordsOf(query)
	counted := slices.ContainsFunc(w.names, func(name string) bool {
		return slices.ContainsFunc(counters, func(end string) bool { return strings.HasSuffix(name, end) })
	})
	has := func(labels []string) bool {
		return slices.ContainsFunc(w.labels, func(l string) bool { return slices.Contains(labels, strings.ToLower(l)) })
	}
	if counted && !w.window {
		warnings = append(warnings, "it has no window: counters count since each process started, long before the release as well; take rate(...[5m])")
	}
	if counted && !has(statusLabels) {
		warnings = append(warnings, "it has no status filter: requests that fail are in it, and a fast failure looks like a fast answer")
	}
	if !has(variantLabels) {
		warnings = append(warnings, "it picks no variant: stable's requests are in it, beside which those of a small candidate do not show")
	}
	return warnings
}

// words are what of a query says something about it.
type words struct {
	names  []string // outside of braces: metrics and functions
	labels []string // that are matched, in braces
	window bool     // a range, as [5m]
}

// wordsOf takes any text.
func wordsOf(query string) (w words) {
	braces := 0
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '#':
			if end := strings.IndexByte(query[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(query)
			}
		case c == '"' || c == '\'' || c == '`':
			end := stringEnd(query, i)
			if text := strings.Trim(query[i:end], "\"'`"); braces > 0 && matched(query[end:]) {
				w.labels = append(w.labels, text)
			} else if braces > 0 && !followsOperator(query[:i]) { // {"a metric's name"}
				w.names = append(w.names, text)
			}
			i = end
		case c == '{':
			braces++
			i++
		case c == '}':
			braces--
			i++
		case c == '[':
			w.window = true
			i++
		case letter(c):
			end := i
			for end < len(query) && (letter(query[end]) || query[end] >= '0' && query[end] <= '9') {
				end++
			}
			switch {
			case braces > 0 && matched(query[end:]):
				w.labels = append(w.labels, query[i:end])
			case braces <= 0:
				w.names = append(w.names, query[i:end])
			}
			i = end
		default:
			i++
		}
	}
	return w
}

func letter(c byte) bool {
	return c == '_' || c == ':' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// stringEnd returns where the string that begins at i is over.
func stringEnd(query string, i int) int {
	quote := query[i]
	for j := i + 1; j < len(query); j++ {
		switch {
		case query[j] == '\\' && quote != '`':
			j++
		case query[j] == quote:
			return j + 1
		}
	}
	return len(query)
}

// matched tells whether what follows a label is an operator that compares it.
func matched(rest string) bool {
	rest = strings.TrimLeft(rest, " \t\r\n")
	return strings.HasPrefix(rest, "=") || strings.HasPrefix(rest, "!=") || strings.HasPrefix(rest, "!~")
}

func followsOperator(before string) bool {
	before = strings.TrimRight(before, " \t\r\n")
	return strings.HasSuffix(before, "=") || strings.HasSuffix(before, "~")
}
