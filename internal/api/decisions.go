package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/payload"
)

// Decision is an answer that was given: what was to answer, what did, and why. Decisions are detail, of which some may be left out;
// rates come from other views.
type Decision struct {
	ID             string          `json:"id"`
	At             time.Time       `json:"at"`
	Kind           string          `json:"kind" enum:"variant,rank"`
	Service        string          `json:"service" doc:"or the experiment's name"`
	Epoch          uint32          `json:"epoch"`
	PolicyVersion  uint64          `json:"policyVersion"`
	Unit           string          `json:"unit,omitempty" doc:"a keyed hash, unless configured otherwise"`
	RequestID      string          `json:"requestId,omitempty" doc:"the client's own"`
	Assigned       string          `json:"assigned" doc:"the variant that was to answer"`
	Answered       string          `json:"answered" doc:"the one that did, or fallback"`
	Version        string          `json:"version,omitempty" doc:"the digest of the model version that answered"`
	Reason         string          `json:"reason" enum:"weights,match,failover,fallback,holdout,byHand"`
	Propensity     *float64        `json:"propensity,omitempty" doc:"the probability that this choice was made with"`
	Status         int             `json:"status" doc:"of the answer, as in HTTP"`
	Micros         int64           `json:"micros" doc:"how long the answer took"`
	UpstreamMicros int64           `json:"upstreamMicros"`
	Label          string          `json:"label,omitempty" doc:"what was predicted"`
	Score          *float64        `json:"score,omitempty"`
	Slots          json.RawMessage `json:"slots,omitempty" doc:"of a ranking: which arm is where"`
	Payload        string          `json:"payload,omitempty" doc:"the reference of what was captured"`
	Share          *float64        `json:"share,omitempty" doc:"the probability with which it is one of those that lists show: 1 where all are; absent: it is in the log alone"`
}

// Outcome is what came back for a decision.
type Outcome struct {
	ID         string    `json:"id"`
	Slot       int       `json:"slot"`
	Kind       string    `json:"kind" doc:"label, correct, reward, click, ..."`
	Number     *float64  `json:"number,omitempty"`
	Label      *string   `json:"label,omitempty"`
	At         time.Time `json:"at,omitzero" doc:"by the client's clock; stored, never trusted"`
	ReceivedAt time.Time `json:"receivedAt"`
	Status     string    `json:"status" doc:"waiting, counted, late or unknown"`
	Class      string    `json:"class" doc:"how far it can be believed: verified, unverified, attributed or byHand"`
	Service    string    `json:"service,omitempty"`
	Variant    string    `json:"variant,omitempty"`
	Correct    *bool     `json:"correct,omitempty" doc:"whether it says that the prediction was right"`
}

// Token is what a decision's token says, once its signature was found to be right. It names by hashes.
type Token struct {
	Decision      string
	At            time.Time
	Service       uint64 // event.Hash of the service's or experiment's name
	Epoch         uint32
	Variant       uint64 // event.Hash of the variant's name; 0 for a ranking
	PolicyVersion uint64
	Propensity    float64
	Slots         int
}

// TokenDetails is a Token for people.
type TokenDetails struct {
	Decision      string    `json:"decision"`
	At            time.Time `json:"at"`
	Service       string    `json:"service,omitempty" doc:"empty: none of those known here"`
	Epoch         uint32    `json:"epoch"`
	Variant       string    `json:"variant,omitempty" doc:"empty: none of the service's"`
	PolicyVersion uint64    `json:"policyVersion"`
	Propensity    float64   `json:"propensity"`
	Slots         int       `json:"slots" doc:"of a ranking"`
}

// DecisionDetails is all that is known of one decision. What is absent is not known: details are dropped under load, and in the end
// by retention.
type DecisionDetails struct {
	ID       string          `json:"id"`
	Decision *Decision       `json:"decision,omitempty"`
	Outcomes []Outcome       `json:"outcomes"`
	Token    *TokenDetails   `json:"token,omitempty" doc:"what the token says, if one was given"`
	Minute   *MinuteCounts   `json:"minute,omitempty" doc:"exact counts of its service, epoch, variant and version in its minute"`
	Captured *payload.Record `json:"captured,omitempty" doc:"the bodies of request and answer, if they were captured and are still kept"`
}

// MinuteCounts are exact counts of one variant in one minute.
type MinuteCounts struct {
	Minute       time.Time `json:"minute"`
	Requests     int64     `json:"requests"`
	ClientErrors int64     `json:"clientErrors"`
	ServerErrors int64     `json:"serverErrors"`
	Timeouts     int64     `json:"timeouts"`
	MeanMicros   *float64  `json:"meanMicros,omitempty" doc:"of successful requests"`
}

// decisionsMost is how many decisions are sent at once, at most.
const decisionsMost = 1000

func (c *control) routeDecisions(h huma.API) {
	type asked struct {
		Service string `query:"service" example:"sentiment" doc:"only those of this service"`
		Limit   int    `query:"limit" default:"20" minimum:"1" maximum:"1000"`
		After   string `query:"after" doc:"a decision's id: the first ones after it; without it, the last ones there are"`
	}
	type many struct{ Body []Decision }
	handle(h, huma.Operation{
		OperationID: "list-decisions", Method: http.MethodGet, Path: "/api/v1/decisions", Summary: "Decisions, oldest first: the last ones, or those after one",
	}, func(ctx context.Context, in *asked) (*many, error) {
		list, err := c.decisions(ctx, in.Service, in.After, in.Limit)
		return &many{orEmpty(list)}, err
	})

	type named struct {
		ID string `path:"id" doc:"a decision's id, or its token" example:"01890a5d-ac96-774b-bcce-b302099a8057"`
	}
	type one struct{ Body DecisionDetails }
	handle(h, huma.Operation{
		OperationID: "show-decision", Method: http.MethodGet, Path: "/api/v1/decisions/{id}", Summary: "A decision, by its id or its token, and what came back for it",
	}, func(ctx context.Context, in *named) (*one, error) {
		d, err := c.decision(ctx, in.ID)
		return &one{d}, err
	})
}

// decisions returns decisions by id, which is by time: the first ones after an id, or the last ones.
func (c *control) decisions(ctx context.Context, service, after string, limit int) ([]Decision, error) {
	if c.Telemetry == nil {
		return nil, NoTelemetry()
	}
	var where []string
	var args []any
	if service != "" {
		where, args = append(where, "service = ?"), append(args, service)
	}
	order := "DESC"
	if after != "" {
		id, err := event.ParseID(after)
		if err != nil {
			return nil, err
		}
		where, args, order = append(where, "id > ?"), append(args, id.String()), "ASC"
	}
	if where == nil {
		where = []string{"true"}
	}
	text := fmt.Sprintf("SELECT * FROM (SELECT * FROM decisions WHERE %s ORDER BY id %s LIMIT %d) ORDER BY id", strings.Join(where, " AND "), order, limit)
	rows, err := records(c.Telemetry.Query(ctx, text, args...))
	list := make([]Decision, len(rows))
	for i, r := range rows {
		list[i] = decisionOf(r)
	}
	return list, err
}

func decisionOf(r record) Decision {
	d := Decision{
		ID: r.text("id"), At: r.time("at"), Kind: r.text("kind"), Service: r.text("service"), Epoch: uint32(r.integer("epoch")),
		PolicyVersion: uint64(r.integer("policy_version")), Unit: r.text("unit"), RequestID: r.text("request_id"),
		Assigned: r.text("assigned"), Answered: r.text("answered"), Version: r.text("version"), Reason: r.text("reason"),
		Propensity: r.number("propensity"), Status: int(r.integer("status")), Micros: r.integer("micros"),
		UpstreamMicros: r.integer("upstream_micros"), Label: r.text("label"), Score: r.number("score"), Payload: r.text("payload"), Share: r.number("share"),
	}
	if slots := []byte(r.text("slots")); json.Valid(slots) {
		d.Slots = slots
	}
	return d
}

// decision returns all that is known of the decision with an id or a token.
func (c *control) decision(ctx context.Context, text string) (d DecisionDetails, err error) {
	id, err := event.ParseID(text)
	if err != nil {
		if d.Token, err = c.token(ctx, text); err != nil {
			return d, err
		}
		if id, err = event.ParseID(d.Token.Decision); err != nil {
			return d, err
		}
	}
	d.ID, d.Outcomes = id.String(), []Outcome{}
	if c.Telemetry == nil {
		if d.Token != nil {
			return d, nil // it speaks for itself
		}
		return d, NoTelemetry()
	}
	list, err := records(c.Telemetry.DecisionOf(ctx, id))
	if err != nil {
		return d, err
	}
	outcomes, err := records(c.Telemetry.OutcomesOf(ctx, id))
	if err != nil {
		return d, err
	}
	for _, r := range outcomes {
		d.Outcomes = append(d.Outcomes, outcomeOf(r))
	}
	if len(list) > 0 {
		decision := decisionOf(list[0])
		d.Decision = &decision
		if d.Captured, err = c.captured(d.Decision); err == nil {
			d.Minute, err = c.minute(ctx, d.Decision)
		}
	}
	if err == nil && d.Decision == nil && len(d.Outcomes) == 0 && d.Token == nil {
		err = fault.NotFoundf("nothing is known of a decision %s", id).
			WithHint("it may not have been read from the log yet, have been dropped under load, or be older than what is kept")
	}
	return d, err
}

// captured returns the bodies that a decision refers to; nil if there are none, or none any more.
func (c *control) captured(d *Decision) (*payload.Record, error) {
	if c.Payload == nil || d.Payload == "" {
		return nil, nil
	}
	r, err := c.Payload(d.Service, d.ID, d.Payload)
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	return &r, err
}

// token reads a token, and finds the names behind its hashes.
func (c *control) token(ctx context.Context, text string) (*TokenDetails, error) {
	if c.Token == nil {
		return nil, fault.Invalidf("%.100q is no decision id, and there are no keys here that could verify a token", text).
			WithHint("a decision id is a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057; keys are made when `serin serve` first starts")
	}
	t, err := c.Token(text)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "%.100q is no decision id, and no token of ours: %w", text, err).WithHint("%s", fault.HintOf(err))
	}
	d := &TokenDetails{Decision: t.Decision, At: t.At, Epoch: t.Epoch, PolicyVersion: t.PolicyVersion, Propensity: t.Propensity, Slots: t.Slots}
	if c.Traffic == nil {
		return d, nil
	}
	services, err := c.Traffic.Load(ctx, 0)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if event.Hash(s.Service) != t.Service {
			continue
		}
		d.Service = s.Service
		for _, v := range s.Variants {
			if event.Hash(v) == t.Variant {
				d.Variant = v
			}
		}
	}
	return d, nil
}

func outcomeOf(r record) Outcome {
	o := Outcome{
		ID: r.text("id"), Slot: int(r.integer("slot")), Kind: r.text("kind"), Number: r.number("number"), At: r.time("at"),
		ReceivedAt: r.time("received_at"), Status: r.text("status"), Class: r.text("class"), Service: r.text("service"), Variant: r.text("variant"),
	}
	if label, said := r["label"].(string); said {
		o.Label = &label
	}
	if correct, said := r["correct"].(int64); said {
		right := correct != 0
		o.Correct = &right
	}
	return o
}

// minute returns the counts that a decision is one of; nil if its tally has not been read yet.
func (c *control) minute(ctx context.Context, d *Decision) (*MinuteCounts, error) {
	at := d.At.Truncate(time.Minute)
	rows, err := records(c.Telemetry.Query(ctx, "SELECT * FROM variant_minutes WHERE minute = ? AND service = ? AND epoch = ? AND variant = ? AND version = ?",
		at.Format(time.DateTime), d.Service, int64(d.Epoch), d.Assigned, d.Version))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	return &MinuteCounts{
		Minute: at, Requests: r.integer("requests"), ClientErrors: r.integer("client_errors"), ServerErrors: r.integer("server_errors"),
		Timeouts: r.integer("timeouts"), MeanMicros: r.number("mean_micros"),
	}, nil
}

// Decisions returns the first decisions after an id, or the last ones where after is empty; oldest first, of one service or of all.
func (c *Client) Decisions(ctx context.Context, service, after string, limit int) (list []Decision, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if service != "" {
		q.Set("service", service)
	}
	if after != "" {
		q.Set("after", after)
	}
	err = c.call(ctx, http.MethodGet, path("decisions")+"?"+q.Encode(), nil, &list)
	return list, err
}

// Decision returns all that is known of the decision with an id or a token.
func (c *Client) Decision(ctx context.Context, idOrToken string) (d DecisionDetails, err error) {
	err = c.call(ctx, http.MethodGet, path("decisions", idOrToken), nil, &d)
	return d, err
}
