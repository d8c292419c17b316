package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/limit"
)

// told is what a limit said of a request.
type told struct {
	limit   *Limit
	key     limit.Key
	verdict limit.Verdict
}

// tell writes the fields RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11), of all limits, and those that were
// RateLimit-Limit, -Remaining and -Reset before it (to -06), of the limit that is nearest.
func tell(h http.Header, all []told) {
	nearest := &all[0]
	policy := nearest.limit.policy
	buffer := make([]byte, 0, 64)
	for i := range all {
		t := &all[i]
		if i > 0 {
			policy += ", " + t.limit.policy
			buffer = append(buffer, ", "...)
			if v, n := t.verdict, nearest.verdict; v.Remaining < n.Remaining || v.Remaining == n.Remaining && v.Reset > n.Reset {
				nearest = t
			}
		}
		buffer = append(append(append(buffer, '"'), t.limit.options.Name...), `";r=`...)
		buffer = strconv.AppendInt(buffer, int64(t.verdict.Remaining), 10)
		if t.verdict.Reset > 0 {
			buffer = strconv.AppendInt(append(buffer, ";t="...), seconds(t.verdict.Reset), 10)
		}
	}
	values := []string{policy, string(buffer), strconv.Itoa(nearest.verdict.Remaining), strconv.FormatInt(seconds(nearest.verdict.Reset), 10)}
	h["Ratelimit-Policy"], h["Ratelimit"] = values[0:1:1], values[1:2:2]
	h["Ratelimit-Remaining"], h["Ratelimit-Reset"] = values[2:3:3], values[3:4:4]
	h["Ratelimit-Limit"] = nearest.limit.quota[:1:1]
}

// refusal makes the error, and says when to ask again: once all that refuse would let it through.
func refusal(h http.Header, all []told) *limited {
	var wait time.Duration
	var why string
	e := &limited{}
	for _, t := range all {
		if t.verdict.Allowed {
			continue
		}
		e.names = append(e.names, t.limit.options.Name)
		if t.verdict.Reset >= wait {
			wait = t.verdict.Reset
			why = fmt.Sprintf("at most %d are answered in %s", t.limit.options.Requests, ShortDuration(t.limit.options.Window))
		}
	}
	after := strconv.FormatInt(max(seconds(wait), 1), 10)
	h["Retry-After"] = []string{after}
	e.error = &statusError{http.StatusTooManyRequests, fault.Unavailablef("too many requests: %s; ask again in %s s", why, after)}
	return e
}

// seconds are whole ones, rounded up, so that whoever waits so long has waited enough. A millisecond is left aside: a client sleeps longer
// than it means to by as much, and a window of a minute is not to be told as 61 s because it is kept to a 10 millionth of a second.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - time.Millisecond) / time.Second)
}

// ShortDuration writes a duration without the zeros at its end: 1m, not 1m0s.
func ShortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// limited is the error of a request that a limit refuses.
type limited struct {
	error
	names []string // of the limits
}

// Unwrap returns the error without the names.
func (e *limited) Unwrap() error { return e.error }

// problem appends the error as those are told who speak no dialect: application/problem+json (RFC 9457), of the type that the draft of the
// RateLimit fields registers.
func (e *limited) problem(dst []byte) []byte {
	body, err := json.Marshal(struct {
		Type     string   `json:"type"`
		Title    string   `json:"title"`
		Status   int      `json:"status"`
		Detail   string   `json:"detail"`
		Violated []string `json:"violated-policies"`
	}{"https://iana.org/assignments/http-problem-types#quota-exceeded", "Too many requests", http.StatusTooManyRequests, e.Error(), e.names})
	if err != nil { // of strings: there is no such error
		return dst
	}
	return append(dst, body...)
}

const problemType = "application/problem+json"
