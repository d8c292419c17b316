package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"iter"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/fault"
)

// Querier asks telemetry in SQL, for reading only: whatever else a statement wants is Invalid, and so is one that SQL does not
// understand. A statement that takes too long is Unavailable.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (*Rows, error)
	// DecisionOf returns the row of the view decisions for a decision, if it is known. It is made of the log's record where it is none of
	// the sample that the view has: then its share is NULL.
	DecisionOf(ctx context.Context, id event.ID) (*Rows, error)
	// OutcomesOf returns the rows of the view outcomes for a decision, in the order in which they came.
	OutcomesOf(ctx context.Context, id event.ID) (*Rows, error)
}

// Rows are the rows of an answer.
type Rows struct {
	Columns []string
	All     iter.Seq2[[]any, error] // once: each is nil, int64, float64, string or []byte per column; an error is the last
	Close   func()                  // call it after use
}

// View is what can be asked about in SQL, as it is documented.
type View struct {
	Name    string   `json:"name"`
	Doc     string   `json:"doc" doc:"what a row is"`
	Columns []Column `json:"columns"`
}

// Column is a column of a View.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type" doc:"of SQL: TEXT, INTEGER or REAL"`
	Doc  string `json:"doc"`
}

// Statement is a question in SQL.
type Statement struct {
	SQL   string `json:"sql" maxLength:"100000" doc:"one SELECT over the views" example:"SELECT variant, sum(requests) FROM variant_minutes GROUP BY variant"`
	Limit int    `json:"limit,omitempty" default:"1000" minimum:"1" maximum:"100000" doc:"how many rows to send at most"`
}

// Table is an answer in rows.
type Table struct {
	Columns   []string `json:"columns"`
	Rows      [][]any  `json:"rows" doc:"in the order of columns; null, number or text. What is no text is sent in base64, and an infinite number as the text Infinity or -Infinity"`
	Truncated bool     `json:"truncated" doc:"there are more rows than these"`
}

// Bounds of an answer.
const (
	rowsUsual = 1000
	rowsMost  = 100_000
	bytesMost = 64 << 20 // of texts, so that few large rows do not fill the memory either
)

func (c *control) routeQuery(h huma.API) {
	type views struct{ Body []View }
	handle(h, huma.Operation{
		OperationID: "list-views", Method: http.MethodGet, Path: "/api/v1/sql/views", Summary: "What can be asked about in SQL: views and their columns",
	}, func(context.Context, *struct{}) (*views, error) { return &views{orEmpty(c.Views)}, nil })

	type input struct{ Body Statement }
	type output struct{ Body Table }
	handle(h, huma.Operation{
		OperationID: "query", Method: http.MethodPost, Path: "/api/v1/sql", Summary: "Ask telemetry in SQL, for reading only",
	}, func(ctx context.Context, in *input) (*output, error) {
		table, err := c.query(ctx, in.Body.SQL, in.Body.Limit)
		return &output{table}, err
	})
}

// NoTelemetry is the error where nothing was measured yet.
func NoTelemetry() error {
	return fault.NotFoundf("there is no telemetry in this data directory yet").
		WithHint("`serin serve` writes it when a service has answered its first requests; --data-dir names another directory")
}

// query asks, within the bounds.
func (c *control) query(ctx context.Context, sql string, limit int) (t Table, err error) {
	if c.Telemetry == nil {
		return t, NoTelemetry()
	}
	rows, err := c.Telemetry.Query(ctx, sql)
	if err != nil {
		return t, err
	}
	defer rows.Close()
	t = Table{Columns: orEmpty(rows.Columns), Rows: [][]any{}}
	size := 0
	for row, err := range rows.All {
		if err != nil {
			return t, err
		}
		if len(t.Rows) == min(limit, rowsMost) || size > bytesMost {
			t.Truncated = true
			break
		}
		for i := range row {
			row[i] = sendable(row[i])
			if text, ok := row[i].(string); ok {
				size += len(text)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// records returns the rows of an answer by column, and closes it.
func records(rows *Rows, err error) (list []record, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for row, err := range rows.All {
		if err != nil {
			return nil, err
		}
		r := record{}
		for i, name := range rows.Columns {
			r[name] = row[i]
		}
		list = append(list, r)
	}
	return list, nil
}

// record is a row by column. What is NULL, or not of the type asked for, is zero.
type record map[string]any

func (r record) text(column string) string {
	v, _ := r[column].(string)
	return v
}

func (r record) integer(column string) int64 {
	v, _ := r[column].(int64)
	return v
}

// number returns a number, nil for NULL.
func (r record) number(column string) *float64 {
	switch v := r[column].(type) {
	case float64:
		return finite(v)
	case int64:
		f := float64(v)
		return &f
	}
	return nil
}

// time reads a time as the views have it, in UTC.
func (r record) time(column string) time.Time {
	t, _ := time.Parse(time.DateTime, r.text(column)) // which takes fractions too
	return t
}

// sendable makes a value of SQL one that JSON can hold.
func sendable(v any) any {
	switch v := v.(type) {
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case string:
		if !utf8.ValidString(v) {
			return strings.ToValidUTF8(v, "\uFFFD")
		}
	case float64:
		switch {
		case math.IsInf(v, 1):
			return "Infinity"
		case math.IsInf(v, -1):
			return "-Infinity"
		case math.IsNaN(v):
			return nil
		}
	}
	return v
}

// Views returns what can be asked about in SQL.
func (c *Client) Views(ctx context.Context) (views []View, err error) {
	err = c.call(ctx, http.MethodGet, path("sql", "views"), nil, &views)
	return views, err
}

// UnmarshalJSON keeps numbers as json.Number, digit by digit.
func (t *Table) UnmarshalJSON(text []byte) error {
	type plain Table
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode((*plain)(t))
}

// Query asks telemetry in SQL. Numbers in the answer are json.Number.
func (c *Client) Query(ctx context.Context, s Statement) (t Table, err error) {
	err = c.call(ctx, http.MethodPost, path("sql"), s, &t)
	return t, err
}
