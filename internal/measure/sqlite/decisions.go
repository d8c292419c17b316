package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// decisionRow are the columns of decision_rows.
func decisionRow(d *event.Decision, variant int64, share float64) []any {
	kind := "variant"
	if d.Rank {
		kind = "rank"
	}
	return []any{
		d.ID.String(), timeText(d.At), kind, variant, int64(d.PolicyVersion), textOrNull(d.Unit), textOrNull(d.RequestID), d.Answered,
		d.Reason.String(), finite(d.Propensity), int64(d.Status), int64(d.Micros), int64(d.UpstreamMicros), textOrNull(d.Label), finite(d.Score),
		slotsText(d.Slots), textOrNull(d.Payload), share,
	}
}

// DecisionOf returns the row of the view decisions for a decision, with its columns. Where it has none, for it was not sampled or its
// row was removed, whole is asked for the record, by its place in the log; share is then NULL. The row is nil if nobody knows it.
func (r *Reader) DecisionOf(ctx context.Context, id event.ID, whole func(event.Offset) (*event.Decision, error)) (columns []string, row []any, err error) {
	rows, err := r.Query(ctx, "SELECT * FROM decisions WHERE id = ?", id.String())
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for row, err := range rows.All() {
		return rows.Columns, row, err
	}
	at, err := r.DecisionPlace(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return rows.Columns, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	d, err := whole(at)
	if d == nil || d.ID != id || err != nil {
		return rows.Columns, nil, err
	}
	return rows.Columns, viewRow(d), nil
}

// viewRow is a row of the view decisions, made of the record.
func viewRow(d *event.Decision) []any {
	v := decisionRow(d, 0, 0)
	return slices.Concat(v[:3], []any{d.Service, int64(d.Epoch)}, v[4:7], []any{d.Assigned}, v[7:8], []any{d.Version}, v[8:17], []any{nil})
}

// slotsText is the ranking as JSON, for SQLite's JSON functions.
func slotsText(slots []event.Slot) any {
	if len(slots) == 0 {
		return nil
	}
	type slot struct {
		Slot       uint8  `json:"slot"`
		Arm        string `json:"arm"`
		Position   uint8  `json:"position"`
		Propensity any    `json:"propensity"`
	}
	list := make([]slot, len(slots))
	for i, s := range slots {
		list[i] = slot{s.Slot, s.Arm, s.Position, finite(s.Propensity)}
	}
	text, err := json.Marshal(list)
	if err != nil { // strings and finite numbers always have a form
		return nil
	}
	return string(text)
}

// DecisionPlace returns where in the log a decision is, so that it can be read whole: detail rows of old decisions are removed, the log
// keeps them longer. It is NotFound if no decision with the id was read, or retention has removed it.
func (s *Sink) DecisionPlace(ctx context.Context, id event.ID) (event.Offset, error) {
	return decisionPlace(ctx, s.db, id)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func decisionPlace(ctx context.Context, db querier, id event.ID) (event.Offset, error) {
	var body []byte
	err := db.QueryRowContext(ctx, "SELECT body FROM slots WHERE slot = ?", slotOf(id)).Scan(&body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	if err == nil {
		r, found, err := findInSlot(body, id)
		if found || err != nil {
			return r.place, err
		}
	}
	return 0, fault.NotFoundf("there is no decision %s", id).
		WithHint("it may not be read from the log yet, or it was dropped under load, or it is older than what is kept")
}
