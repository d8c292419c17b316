package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

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
		_, place, found, err := findInSlot(body, id)
		if found || err != nil {
			return place, err
		}
	}
	return 0, fault.NotFoundf("there is no decision %s", id).
		WithHint("it may not be read from the log yet, or it was not sampled, or it is older than what is kept")
}
