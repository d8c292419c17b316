package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/wire"
)

// routeFeedback mounts what takes outcomes in, if there is somewhere to write them.
//
// POST /v1/feedback takes one item or {"feedback": [items]}, at most 1000 of them and 1 MiB. An item says which answer it is about, by
// its token (or the header Serin-Decision), by the decision's id, or by nothing but the cookie that keeps its user with a variant; and
// how that answer turned out, by exactly one of label, correct, rating, reward, or kind and value. It may have an id of its own, a slot of
// a ranking, and the client's time.
//
// A single item is answered with 200 when it is durable now (accepted) or was before (duplicate), with 409 when its id came with another
// value (conflict), with 404 when there is no such service, and with 400 when it is malformed or its token does not verify. A batch is
// malformed as a whole, with nothing stored, or else answered with 200 and a status for each item; refused are those with a token that
// does not verify or a service that there is not. 507 says that the disk is full, 503 that it could not be written down for another
// reason. After both nothing is acknowledged, and to send the same again is right.
func (g *Gateway) routeFeedback() {
	if g.options.Ingest == nil {
		return
	}
	g.feedback = &feedback{gateway: g, ingest: g.options.Ingest, clients: clientKey(g.options.Keys)}
	f := g.feedback
	g.mux.HandleFunc("/v1/feedback", f.answering(wire.OpenInference{}, "feedback", false, f.items))
	g.routeSeldonFeedback(f)
}

// feedback takes in what clients say of answers.
type feedback struct {
	gateway *Gateway
	ingest  *Ingest
	clients []byte // the key of the hash that hides addresses
}

// opinion is an item on its way to an outcome.
type opinion struct {
	service string // for metrics: a name of ours, or ""
	outcome event.Outcome
	verdict verdict
	err     error // why it is refused
}

// status is what became of an opinion.
func (o *opinion) status() string {
	if o.err != nil {
		return refused
	}
	return o.verdict.String()
}

// Statuses beside those of a verdict.
const (
	refused = "refused"
	failed  = "failed"
)

// answering makes a handler of answer, which reads the body in b.body and leaves its own in b.out.
func (f *feedback) answering(d Dialect, label string, cors bool, answer func(b *buffers, r *http.Request) (status int, err error)) http.HandlerFunc {
	g := f.gateway
	return func(w http.ResponseWriter, r *http.Request) {
		if cors && g.preflight(w, r) {
			return
		}
		start := time.Now()
		b := scratch.Get().(*buffers)
		defer b.release()
		b.reset()
		status, err := 0, error(errFeedbackMethod)
		if r.Method == http.MethodPost {
			if err = readBody(&b.in, w, r, maxFeedbackBody); err == nil {
				b.body = b.in.Bytes()
				status, err = answer(b, r)
			}
		}
		if err != nil {
			status = f.failed(r.Context(), label, err)
			switch status {
			case statusGone:
				hangUp()
			case http.StatusMethodNotAllowed:
				w.Header().Set("Allow", http.MethodPost)
			case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
				w.Header().Set("Retry-After", "1")
			}
			b.out = d.Error(b.out[:0], status, public(err))
		}
		g.write(w, r, status, b.out)
		if label == seldonLabel && g.metrics.seldon != nil {
			g.metrics.seldon.answered(b.fed, "feedback", "post", codeText(status), time.Since(start))
		}
	}
}

// failed takes down a call that failed, and returns its status.
func (f *feedback) failed(ctx context.Context, label string, err error) int {
	status := statusOf(err)
	if status < http.StatusInternalServerError { // what failed is counted by item, and logged where it did
		f.count("", "", refused)
		f.gateway.options.Log.DebugContext(ctx, "feedback refused", "dialect", label, "status", status, "error", err)
	}
	return status
}

var errFeedbackMethod = &statusError{http.StatusMethodNotAllowed, fault.Invalidf("feedback is sent with POST")}

// items answers POST /v1/feedback.
func (f *feedback) items(b *buffers, r *http.Request) (status int, err error) {
	items, batch, err := readFeedback(b.body)
	if err != nil {
		return 0, err
	}
	opinions := make([]opinion, len(items))
	ask := f.asker(f.gateway.from(r, nil))
	for i := range items {
		if items[i].token == "" && items[i].decision == "" {
			items[i].token = r.Header.Get(TokenHeader)
		}
		opinions[i].service, opinions[i].err = ask.outcome(r.Context(), &items[i], &opinions[i].outcome)
	}
	if !batch && opinions[0].err != nil {
		return 0, opinions[0].err
	}
	if err := f.take(r.Context(), opinions); err != nil {
		return 0, err
	}
	b.out = appendOpinions(b.out[:0], opinions, batch)
	if !batch && opinions[0].verdict == conflict {
		return http.StatusConflict, nil
	}
	return http.StatusOK, nil
}

// take writes down the outcomes of opinions that are not refused, and counts all.
func (f *feedback) take(ctx context.Context, opinions []opinion) error {
	outcomes := make([]event.Outcome, 0, len(opinions))
	for i := range opinions {
		if opinions[i].err == nil {
			outcomes = append(outcomes, opinions[i].outcome)
		}
	}
	verdicts, err := f.ingest.add(ctx, outcomes)
	for i := range opinions {
		o := &opinions[i]
		status := failed
		switch {
		case o.err != nil:
			status = refused
		case err == nil:
			o.verdict, verdicts = verdicts[0], verdicts[1:]
			status = o.verdict.String()
		}
		f.count(o.service, o.outcome.Kind, status)
	}
	return err
}

// count counts one outcome. Kinds of a client's own have one name together: a metric must not grow with what clients send.
func (f *feedback) count(service, kind, status string) {
	switch kind {
	case "", kindImpression, kindClick, kindLabel, kindCorrect, kindRating, kindReward:
	default:
		kind = "custom"
	}
	f.ingest.outcomes.WithLabelValues(service, kind, status).Inc()
}

// appendOpinions appends the answer to a single item, or to a batch.
func appendOpinions(dst []byte, opinions []opinion, batch bool) []byte {
	if !batch {
		return opinions[0].append(dst)
	}
	dst = append(dst, `{"feedback":[`...)
	for i := range opinions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = opinions[i].append(dst)
	}
	return append(dst, "]}"...)
}

// append appends what became of one item: its id and status, and how its decision was found.
func (o *opinion) append(dst []byte) []byte {
	dst = append(dst, '{')
	if o.outcome.ID != "" {
		dst = append(appendQuoted(append(dst, `"id":`...), o.outcome.ID), ',')
	}
	dst = append(append(append(dst, `"status":"`...), o.status()...), '"')
	switch {
	case o.err != nil:
		return append(appendQuoted(append(dst, `,"error":`...), explained(o.err)), '}')
	case o.outcome.Attributed:
		dst = append(dst, `,"attributed":true`...)
	default:
		dst = o.outcome.Decision.AppendText(append(dst, `,"decision":"`...))
		dst = append(dst, '"')
	}
	if o.outcome.Verified {
		dst = append(dst, `,"verified":true`...)
	}
	if o.verdict == conflict {
		dst = append(dst, `,"error":"this id came before with another value; the first one counts"`...)
	}
	return append(dst, '}')
}

// appendQuoted appends text, which is valid UTF-8, as JSON.
func appendQuoted(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(text)
			if err != nil {
				return append(dst, `""`...) // no string fails
			}
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
