package gateway

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/url"
	"strings"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/jsonscan"
	"github.com/serin-ml/serin/internal/traffic"
	"github.com/serin-ml/serin/internal/wire"
)

// routeSeldonFeedback mounts the feedback call of the Seldon v1 protocol, beside its predictions. Its body is
//
//	{"request": ..., "response": {"meta": {"puid": ...}}, "reward": 1, "truth": {"data": {"ndarray": [[1]]}}}
//
// of which request is not needed. The decision is told by the header Serin-Decision, else by a puid that is an id of ours, else by the
// sticky cookie. The reward and what is true become an outcome each; the answer's tags say what became of them. In the protocol's own
// clients a reward of 0 is left out, so a call without reward and truth is a reward of 0.
func (g *Gateway) routeSeldonFeedback(f *feedback) {
	handler := func(find find) http.HandlerFunc {
		return f.answering(wire.Seldon{}, seldonLabel, true, func(b *buffers, r *http.Request) (int, error) {
			service, _, err := find(f.gateway.services.Load(), r)
			if err != nil {
				return 0, err
			}
			if b.body, err = unwrapped(b.body, r.Header.Get("Content-Type")); err != nil {
				return 0, err
			}
			return f.seldon(r.Context(), b, f.gateway.from(r, nil), service)
		})
	}
	whole := func(*table, *http.Request) (*Service, string, error) { return nil, "", nil }
	for _, version := range seldonVersions {
		call := version + "/feedback"
		g.mux.HandleFunc(call, handler(whole))
		g.mux.HandleFunc("/seldon/{name}"+call, handler(byPath))
		g.mux.HandleFunc("/seldon/{namespace}/{name}"+call, handler(byPath))
	}
	g.mux.HandleFunc("/send-feedback", handler(whole)) // of a model microservice
}

// unwrapped returns the JSON of a call that comes as the field json of a form, as Seldon's client sends it to a model microservice.
func unwrapped(body []byte, contentType string) ([]byte, error) {
	kind, _, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return body, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("json") {
		return nil, fault.Invalidf("the form has no field json").WithHint("send the feedback as JSON")
	}
	return []byte(form.Get("json")), nil
}

// seldon answers the feedback call in b.body about a service, nil if the call names none.
func (f *feedback) seldon(ctx context.Context, b *buffers, facts traffic.Facts, service *Service) (status int, err error) {
	opinions, err := f.seldonOpinions(ctx, b.body, facts, service)
	if err != nil {
		return 0, err
	}
	b.fed = opinions[0].outcome.Service
	if err := conflicting(opinions); err != nil { // which has been counted, as no refusal
		b.out = wire.Seldon{}.Error(b.out[:0], http.StatusConflict, err)
		return http.StatusConflict, nil
	}
	b.out = appendSeldonTaken(b.out[:0], opinions)
	return http.StatusOK, nil
}

// seldonOpinions takes in what a feedback call says.
func (f *feedback) seldonOpinions(ctx context.Context, body []byte, facts traffic.Facts, service *Service) ([]opinion, error) {
	ask := f.asker(facts)
	ask.service = service
	var call seldonFeedback
	if err := call.read(body); err != nil {
		return nil, err
	}
	opinions, err := call.opinions(ctx, ask, facts.Header(TokenHeader))
	if err != nil {
		return nil, err
	}
	if err := f.take(ctx, opinions); err != nil {
		return nil, err
	}
	if m := f.gateway.metrics.seldon; m != nil && opinions[0].verdict == accepted {
		m.fed(ask.services, &opinions[0].outcome)
	}
	return opinions, nil
}

// appendSeldonTaken appends a SeldonMessage with nothing but meta.
func appendSeldonTaken(dst []byte, opinions []opinion) []byte {
	dst = append(dst, `{"meta":{`...)
	if id := opinions[0].outcome.Decision; !id.IsZero() {
		dst = append(id.AppendText(append(dst, `"puid":"`...)), `",`...)
	}
	dst = append(dst, `"tags":{`...)
	for i := range opinions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), opinions[i].outcome.Kind...), `":"`...)
		dst = append(append(dst, opinions[i].status()...), '"')
	}
	return append(dst, "}}}"...)
}

// seldonFeedback is the body of a feedback call.
type seldonFeedback struct {
	seen   itemReader
	puid   string
	reward float64
	truth  truth
}

// The keys of a call, and of a truth.
const (
	seldonFeedbackResponse = 1 << iota
	seldonFeedbackReward
	seldonFeedbackTruth
	seldonFeedbackMeta
	seldonFeedbackPuid
)

func (c *seldonFeedback) read(body []byte) error {
	var scanner jsonscan.Scanner
	scanner.Reset(body)
	s := scanner.AllowNonFinite() // which Python writes, in the request that is not needed
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "response":
			if c.seen.once(s, seldonFeedbackResponse, "response") {
				c.response(s)
			}
		case "reward":
			if c.seen.once(s, seldonFeedbackReward, "reward") {
				c.reward = readFinite(s)
			}
		case "truth":
			if c.seen.once(s, seldonFeedbackTruth, "truth") {
				c.truth.read(s)
			}
		default:
			s.Skip()
		}
	}
	s.End()
	return s.Err()
}

// response reads the answer that the feedback is about, as far as its id.
func (c *seldonFeedback) response(s *jsonscan.Scanner) {
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "meta":
			if c.seen.once(s, seldonFeedbackMeta, "meta") {
				c.meta(s)
			}
		default:
			s.Skip()
		}
	}
}

func (c *seldonFeedback) meta(s *jsonscan.Scanner) {
	s.Object()
	for s.Next() {
		switch string(s.Key()) {
		case "puid":
			if c.seen.once(s, seldonFeedbackPuid, "puid") {
				c.puid = s.String()
			}
		default:
			s.Skip()
		}
	}
}

func readFinite(s *jsonscan.Scanner) float64 {
	v := s.Float64()
	if math.IsNaN(v) || math.IsInf(v, 0) {
		s.Failf("%v is no value", v)
	}
	return v
}

// items makes an item of the reward, and one of what is true.
func (c *seldonFeedback) items() ([]feedbackItem, error) {
	label, labelled, err := c.truth.label()
	if err != nil {
		return nil, err
	}
	items := make([]feedbackItem, 0, 2)
	if !labelled || c.seen.given&seldonFeedbackReward != 0 {
		items = append(items, feedbackItem{kind: kindReward, number: c.reward})
	}
	if labelled {
		if err := label.checkValue(); err != nil {
			return nil, err
		}
		items = append(items, label)
	}
	return items, nil
}

// opinions finds the decision of each item.
func (c *seldonFeedback) opinions(ctx context.Context, ask *asker, token string) ([]opinion, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if _, err := event.ParseID(c.puid); err != nil {
		c.puid = "" // it is the client's own
	}
	opinions := make([]opinion, len(items))
	for i := range items {
		items[i].token, items[i].decision = token, c.puid // the token, if there is one, is worth more
		if opinions[i].service, err = ask.outcome(ctx, &items[i], &opinions[i].outcome); err != nil {
			return nil, err
		}
	}
	return opinions, nil
}
