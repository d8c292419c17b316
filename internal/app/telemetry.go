package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/gateway"
	"github.com/serin-ml/serin/internal/measure"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
	"github.com/serin-ml/serin/internal/payload"
	"github.com/serin-ml/serin/internal/shadow"
	"github.com/serin-ml/serin/internal/sqlite"
)

// Names inside the data directory.
const (
	logName       = "log"
	telemetryName = "telemetry.db"
)

// How long what is kept, and how often what is older is looked for.
const (
	keepLog    = 400 * 24 * time.Hour
	pruneEvery = time.Minute
	catchUp    = 5 * time.Second
	// followEvery is how often the log is followed where nothing is written to it. Else that is done once a second, right after the tallies:
	// what they say is known soonest then, and each time costs a few milliseconds, in which requests wait for a processor.
	followEvery = 2 * time.Second
)

// telemetry is what a server writes down: the log, and what is made of it.
//
//	gateway ─► recorder ─► log ─► follower ─► telemetry.db
//	               └─► payloads
type telemetry struct {
	log      *disk.Log
	sink     *telemetrysqlite.Sink
	follower *measure.Follower
	recorder *gateway.Recorder
	ingest   *gateway.Ingest
	shadows  *shadow.Mirror
	payloads *payload.Store
	now      func() time.Time
	logger   *slog.Logger
}

// openTelemetry opens the log and telemetry.db in a data directory whose lock the caller holds.
func openTelemetry(ctx context.Context, o Options, metrics prometheus.Registerer, versions *versions, services func() []*gateway.Service) (t *telemetry, err error) {
	t = &telemetry{now: o.Now, logger: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	path := filepath.Join(o.DataDir, logName)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return t, diskError("log", err)
	}
	if t.log, err = disk.Open(path, disk.Options{MaxAge: keepLog, Needed: t.needed}); err != nil {
		return t, err
	}
	t.tellOpening()
	figures := telemetrysqlite.Options{Classes: versions.Classes}
	if t.sink, err = openSink(ctx, filepath.Join(o.DataDir, telemetryName), figures, t.log.End(), o.Log); err != nil {
		return t, err
	}
	written := make(chan struct{}, 1)
	t.follower = measure.NewFollower(t.log, t.sink, measure.FollowerOptions{
		Now: o.Now, Every: followEvery, Wake: written, Stuck: t.stuck, Skipped: t.skipped,
	})
	t.payloads = payload.NewStore(payload.DirDisk(o.DataDir), o.Now)
	capture := gateway.NewCapturer(gateway.CapturerOptions{Payloads: t.payloads, Services: services, Logger: o.Log, Metrics: metrics})
	t.shadows = shadow.NewMirror(shadow.MirrorOptions{Now: o.Now, Log: o.Log, Metrics: metrics})
	t.recorder = gateway.NewRecorder(gateway.RecorderOptions{
		Log: t.log, Now: o.Now, Logger: o.Log, Metrics: metrics, Capture: capture, Shadows: t.shadows,
		Written: func() {
			select {
			case written <- struct{}{}:
			default: // it will look anyway
			}
		},
	})
	t.ingest = gateway.NewIngest(gateway.IngestOptions{Log: t.log, Telemetry: known{t.sink, t.log}, Logger: o.Log, Metrics: metrics})
	metrics.MustRegister(newMeasured(t, versions, services))
	return t, nil
}

// tellOpening logs what was found wrong in the log. The server goes on: what is damaged is kept, and what is new is written behind it.
func (t *telemetry) tellOpening() {
	found := t.log.Opening()
	if found.Cut != nil {
		t.logger.Warn("a write that a crash cut off was removed from the log; nobody was told that it is durable",
			"file", found.Cut.File, "byte", found.Cut.Byte, "bytes", found.Cut.Bytes)
	}
	for _, d := range found.Damage {
		t.logger.Error("the log is damaged", "error", d)
	}
}

// stuck tells whoever reads the server's log why telemetry.db is not brought up to date. Answers go on meanwhile.
func (t *telemetry) stuck(err error) {
	if err == nil {
		t.logger.Info("telemetry.db follows the log again")
		return
	}
	t.logger.Error("telemetry.db cannot follow the log; answers go on, what is measured stands still", problem(err))
}

// problem is an error in a log, and what to do about it where that is known.
func problem(err error) slog.Attr {
	if hint := fault.HintOf(err); hint != "" {
		return slog.Group("", "error", err, "hint", hint)
	}
	return slog.Any("error", err)
}

// skipped tells of damage in the log. The view log_gaps keeps it.
func (t *telemetry) skipped(damage *event.DamageError) {
	t.logger.Error("records of the log are lost; what comes behind them counts", "error", damage, "bytes", uint64(damage.Next-damage.At))
}

// openSink opens telemetry.db. All that it holds is in the log, so one that is damaged, or that has read further than the log goes (and
// would leave out what is written from now on), is no reason not to start: it is set aside and made anew.
func openSink(ctx context.Context, path string, o telemetrysqlite.Options, end event.Offset, log *slog.Logger) (*telemetrysqlite.Sink, error) {
	sink, err := telemetrysqlite.Open(ctx, path, o)
	switch {
	case err == nil && sink.Applied() <= end:
		return sink, nil
	case err == nil:
		err = errors.Join(fault.Conflictf("it has read a log up to offset %d, and the log ends at %d", sink.Applied(), end), sink.Close())
	case !sqlite.IsDamaged(err):
		return nil, err
	}
	aside := path + asideSuffix
	log.Error("telemetry.db does not fit the log; it is set aside, and made anew from what the log holds", "error", err, "aside", aside)
	for _, beside := range []string{"-shm", "-wal", ""} { // the file itself goes last: without it, the others would be taken for a new one's
		_ = os.Remove(aside + beside) // of one that was set aside before
		if err := os.Rename(path+beside, aside+beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, diskError("telemetry", err)
		}
	}
	return telemetrysqlite.Open(ctx, path, o)
}

// asideSuffix is behind the name of a telemetry.db that was set aside.
const asideSuffix = ".aside"

// known is what the telemetry has read, as feedback asks it.
type known struct {
	sink *telemetrysqlite.Sink
	log  *disk.Log
}

// Outcome implements gateway.Telemetry.
func (k known) Outcome(ctx context.Context, id string) (o event.Outcome, found bool, err error) {
	all, err := k.sink.Outcomes(ctx, []string{id})
	if err != nil || all[id] == nil {
		return o, false, err
	}
	return *all[id], true, nil
}

// Decision implements gateway.Telemetry. The decision is read from the log, which has it whole.
func (k known) Decision(ctx context.Context, id event.ID) (d event.Decision, found bool, err error) {
	at, err := k.sink.DecisionPlace(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	_, err = k.log.Read(ctx, at, 1, func(_ event.Offset, r event.Record) error {
		if r.Decision != nil && r.Decision.ID == id {
			d, found = *r.Decision, true
		}
		return nil
	})
	if errors.Is(err, event.ErrGone) {
		err = nil
	}
	return d, found, err
}

// Applied implements gateway.Telemetry.
func (k known) Applied() event.Offset { return k.sink.Applied() }

// needed returns up to where the log has been read: what is behind is not to be removed.
func (t *telemetry) needed() event.Offset {
	_, at, err := t.sink.Place(context.Background())
	if err != nil {
		return 0
	}
	return at
}

// Run follows the log and removes what is too old, until ctx ends.
func (t *telemetry) Run(ctx context.Context) error {
	followed := make(chan error, 1)
	go func() { followed <- t.follower.Run(ctx) }()
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-followed:
			// What was written last is read before the server ends, so that who asks then is told of it.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), catchUp)
			defer cancel()
			if late := t.follower.CatchUp(last); late != nil {
				t.logger.Warn("the end of the log is read at the next start", "error", late)
			}
			return err
		case <-ticker.C:
			if err := t.sink.Prune(ctx, t.now(), telemetrysqlite.Retention{}); err != nil && ctx.Err() == nil {
				t.logger.Error("old telemetry cannot be removed", "error", err)
			}
			if _, err := t.log.Retain(ctx); err != nil && ctx.Err() == nil {
				t.logger.Error("old segments of the log cannot be removed", "error", err)
			}
		}
	}
}

// Close closes what is open, in reverse. It is called when nothing is written any more.
func (t *telemetry) Close() error {
	var all []error
	if t.payloads != nil {
		all = append(all, t.payloads.Close())
	}
	if t.sink != nil {
		all = append(all, t.sink.Close())
	}
	if t.log != nil {
		all = append(all, t.log.Close())
	}
	return errors.Join(all...)
}
