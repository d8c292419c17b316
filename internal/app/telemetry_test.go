package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/event/disk"
	"github.com/serin-ml/serin/internal/fault"
	telemetrysqlite "github.com/serin-ml/serin/internal/measure/sqlite"
)

// logged is a log in dir with some decisions, and returns where it ends.
func logged(t *testing.T, dir string, decisions int) event.Offset {
	t.Helper()
	path := filepath.Join(dir, logName)
	must(t, os.MkdirAll(path, 0o700))
	l, err := disk.Open(path, disk.Options{})
	must(t, err)
	for n := range decisions {
		_, err := l.Append(t.Context(), event.Record{Decision: decided(t, n, "stable")})
		must(t, err)
	}
	must(t, l.Close())
	return l.End()
}

// decisionsOf counts the decisions that are measured in dir.
func decisionsOf(t *testing.T, dir string) (n int64) {
	t.Helper()
	rows, err := telemetryFile(filepath.Join(dir, telemetryName)).Query(t.Context(), "SELECT count(*) FROM decisions")
	if fault.KindOf(err) == fault.Unavailable {
		return 0 // it changes just now
	}
	must(t, err)
	defer rows.Close()
	for row, err := range rows.All {
		must(t, err)
		n = row[0].(int64)
	}
	return n
}

func TestATelemetryThatDoesNotFitTheLogIsMadeAnew(t *testing.T) {
	const all = 300
	tests := map[string]struct {
		spoil func(path string, file []byte) error
		left  int64
	}{
		"no database": {func(path string, file []byte) error {
			return os.WriteFile(path, bytes.Repeat([]byte("x"), len(file)), 0o600)
		}, all},
		"damaged pages": {func(path string, file []byte) error {
			return os.WriteFile(path, append(file[:4096:4096], make([]byte, len(file)-4096)...), 0o600)
		}, all},
		"cut short":             {func(path string, _ []byte) error { return os.Truncate(path, 8192) }, all},
		"gone":                  {func(path string, _ []byte) error { return os.Remove(path) }, all},
		"of a log that is gone": {func(path string, _ []byte) error { return os.RemoveAll(filepath.Join(filepath.Dir(path), logName)) }, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			logged(t, dir, all)
			r := start(t, dir, nil)
			r.until(t, "the log is read", func([]api.Service) bool { return decisionsOf(t, dir) == all })
			must(t, r.stop())
			path := filepath.Join(dir, telemetryName)
			file, err := os.ReadFile(path)
			must(t, err)
			must(t, tt.spoil(path, file))

			r = start(t, dir, nil)
			r.importStump(t, 1)
			r.until(t, "a model live", live(1))
			r.infer(t) // it answers
			r.until(t, "the log is read anew", func([]api.Service) bool { return decisionsOf(t, dir) == tt.left+1 })
			if _, err := os.Stat(path + asideSuffix); name != "gone" && err != nil {
				t.Errorf("what was there is not kept: %v", err)
			}
		})
	}
}

func TestATelemetryOfALaterSerinIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, telemetryName)
	sink, err := telemetrysqlite.Open(t.Context(), path, telemetrysqlite.Options{})
	must(t, err)
	must(t, sink.Close())
	file, err := os.ReadFile(path)
	must(t, err)
	file[63] = 99 // user_version
	must(t, os.WriteFile(path, file, 0o600))
	if _, err := openSink(t.Context(), path, telemetrysqlite.Options{}, 0, slog.New(slog.DiscardHandler)); fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestDamageInTheLogCostsItsOwnRecordsAlone(t *testing.T) {
	dir := t.TempDir()
	logged(t, dir, 300)
	segment := filepath.Join(dir, logName, fmt.Sprintf("%020d.log", 0))
	file, err := os.ReadFile(segment)
	must(t, err)
	file[len(file)/2] ^= 0x55
	must(t, os.WriteFile(segment, file, 0o600))

	r := start(t, dir, nil)
	r.importStump(t, 1)
	r.until(t, "a model live", live(1))
	r.infer(t)
	r.until(t, "the server's log tells", func([]api.Service) bool {
		return strings.Contains(r.logged.String(), "records of the log are lost") && strings.Contains(r.logged.String(), "the log is damaged at offset")
	})
	r.until(t, "what is behind counts", func([]api.Service) bool { return decisionsOf(t, dir) > 290 })
	rows, err := telemetryFile(filepath.Join(dir, telemetryName)).Query(t.Context(), "SELECT count(*), max(why) FROM log_gaps")
	must(t, err)
	defer rows.Close()
	for row, err := range rows.All {
		must(t, err)
		if row[0].(int64) != 1 || !strings.Contains(fmt.Sprint(row[1]), "damaged") {
			t.Errorf("the gaps are %v", row)
		}
	}
}

func TestWhatGoesWrongAtTheEndIsLogged(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, nil)
	r.importStump(t, 1)
	r.until(t, "a model live", live(1))
	if err := os.RemoveAll(filepath.Join(dir, logName)); err != nil { // before anything is written: there is no file that stays open
		t.Fatal(err)
	}
	r.infer(t) // it answers all the same
	r.fails = true
	err := r.stop()
	if log := r.logged.String(); err == nil || !strings.Contains(log, "could not end as it should") || !strings.Contains(log, "1 requests that were answered are in no tally") {
		t.Errorf("the end was %v, and the log says\n%s", err, log)
	}
}
