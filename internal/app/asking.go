package app

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/payload"
)

// askTelemetry lets a control plane read what was measured and captured in a data directory, and the tokens that were signed there.
func askTelemetry(o *api.Options, dir string) {
	asked := telemetryFile(filepath.Join(dir, telemetryName))
	o.Telemetry, o.Export, o.Measure, o.Shadows = asked, asked, asked, asked
	for _, v := range telemetrysqlite.Views() {
		view := api.View{Name: v.Name, Doc: v.What}
		for _, c := range v.Columns {
			view.Columns = append(view.Columns, api.Column{Name: c.Name, Type: string(c.Type), Doc: c.What})
		}
		o.Views = append(o.Views, view)
	}
	o.Token = func(text string) (api.Token, error) { return readToken(filepath.Join(dir, keysName), text) }
	o.Payload = func(service, decision, ref string) (payload.Record, error) {
		return payload.Read(dir, service, decision, ref)
	}
}

// telemetryFile is the path of telemetry.db. It is opened for each question anew, so that one that is made, or that a server opens or
// closes meanwhile, is no matter.
type telemetryFile string

func (path telemetryFile) open(ctx context.Context) (*telemetrysqlite.Reader, error) {
	r, err := telemetrysqlite.OpenReader(ctx, string(path), 0)
	if fault.KindOf(err) == fault.NotFound {
		return nil, api.NoTelemetry()
	}
	return r, err
}

// Query implements api.Querier.
func (path telemetryFile) Query(ctx context.Context, sql string, args ...any) (*api.Rows, error) {
	return path.rows(ctx, func(r *telemetrysqlite.Reader) (*telemetrysqlite.Rows, error) { return r.Query(ctx, sql, args...) })
}

// DecisionOf implements api.Querier.
func (path telemetryFile) DecisionOf(ctx context.Context, id event.ID) (*api.Rows, error) {
	r, err := path.open(ctx)
	if err != nil {
		return nil, err
	}
	columns, row, err := r.DecisionOf(ctx, id, func(at event.Offset) (*event.Decision, error) {
		record, err := disk.Peek(ctx, filepath.Join(filepath.Dir(string(path)), logName), at)
		if errors.Is(err, event.ErrGone) || errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return record.Decision, err
	})
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return &api.Rows{Columns: columns, Close: func() {}, All: func(yield func([]any, error) bool) {
		if row != nil {
			yield(row, nil)
		}
	}}, nil
}

// OutcomesOf implements api.Querier.
func (path telemetryFile) OutcomesOf(ctx context.Context, id event.ID) (*api.Rows, error) {
	return path.rows(ctx, func(r *telemetrysqlite.Reader) (*telemetrysqlite.Rows, error) { return r.OutcomesOf(ctx, id) })
}

// rows asks for rows; the file is closed with them.
func (path telemetryFile) rows(ctx context.Context, ask func(*telemetrysqlite.Reader) (*telemetrysqlite.Rows, error)) (*api.Rows, error) {
	r, err := path.open(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := ask(r)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &api.Rows{Columns: rows.Columns, All: rows.All(), Close: func() {
		rows.Close()
		_ = r.Close() // nothing was written
	}}, nil
}

// ExportParquet implements api.Exporter.
func (path telemetryFile) ExportParquet(ctx context.Context, view string, since time.Time, w io.Writer) error {
	r, err := path.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(r.ExportParquetSince(ctx, view, since, w), r.Close())
}

// Summary implements api.Summariser.
func (path telemetryFile) Summary(ctx context.Context, service string, from, to time.Time) (api.ServiceSummary, error) {
	r, err := path.open(ctx)
	if err != nil {
		return api.ServiceSummary{}, err
	}
	s, err := r.Summary(ctx, service, from, to)
	return api.SummaryOf(&s), errors.Join(err, r.Close())
}

// Shadows implements api.Shadower.
func (path telemetryFile) Shadows(ctx context.Context, service, variant string, from, to time.Time, examples int) (list []api.Shadow, err error) {
	r, err := path.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	q := telemetrysqlite.ShadowQuery{Service: service, Shadow: variant, From: from, To: to}
	counts, err := r.Shadows(ctx, q)
	if err != nil {
		return nil, err
	}
	judged, err := r.Judged(ctx, q)
	if err != nil {
		return nil, err
	}
	summaries, err := measure.SummariseShadows(counts)
	if err != nil {
		return nil, err
	}
	for i := range summaries {
		s := &summaries[i]
		trial, err := measure.Try(judged[s.Of])
		if err != nil {
			return nil, err
		}
		shown, err := examplesOf(ctx, r, s.Of, from, to, examples)
		if err != nil {
			return nil, err
		}
		list = append(list, api.ShadowOf(s, trial, shown))
	}
	return list, nil
}

// alike is how many disagreements are looked at for each that is shown: of those that say the same, one is enough.
const alike = 20

// examplesOf returns disagreements of a shadow: the newest, and for the other half those with the largest difference.
func examplesOf(ctx context.Context, r *telemetrysqlite.Reader, of measure.Shadow, from, to time.Time, n int) ([]*event.Disagreement, error) {
	if n == 0 {
		return nil, nil
	}
	newest, err := r.Disagreements(ctx, of, from, to, telemetrysqlite.Newest, alike*n)
	if err != nil {
		return nil, err
	}
	largest, err := r.Disagreements(ctx, of, from, to, telemetrysqlite.Largest, alike*n)
	return addExamples(addExamples(nil, newest, (n+1)/2), largest, n), err
}

// addExamples adds disagreements that say something new, up to so many in all.
func addExamples(shown, list []*event.Disagreement, most int) []*event.Disagreement {
	for _, d := range list {
		known := slices.ContainsFunc(shown, func(o *event.Disagreement) bool {
			same := o.Difference == d.Difference || math.IsNaN(o.Difference) && math.IsNaN(d.Difference)
			return same && o.PrimaryLabel == d.PrimaryLabel && o.ShadowLabel == d.ShadowLabel && o.Where == d.Where && o.ShadowStatus == d.ShadowStatus
		})
		if len(shown) < most && !known {
			shown = append(shown, d)
		}
	}
	return shown
}

// readToken verifies a token with the keys at path. Unlike a server it makes none.
func readToken(path, text string) (api.Token, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return api.Token{}, fault.Invalidf("there are no keys in this data directory that could verify a token").
			WithHint("`serin serve` makes them when it first starts; --data-dir names another directory")
	}
	keys, _, err := loadKeys(filepath.Dir(path))
	if err != nil {
		return api.Token{}, err
	}
	t, err := event.ParseToken(text, keys)
	if err != nil {
		return api.Token{}, err
	}
	return api.Token{
		Decision: t.Decision.String(), At: t.At, Service: t.Service, Epoch: t.Epoch, Variant: t.Variant, PolicyVersion: t.PolicyVersion,
		Propensity: float64(t.Propensity), Slots: len(t.Slots),
	}, nil
}
