package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// OpenReadOnly opens the file at path for reading; version is the number of migrations the caller knows. It makes no file and
// changes none, and works in a folder that cannot be written, where SQLite's own read-only mode would want to make its -wal and
// -shm files. No file is NotFound; one of an older version is Unavailable, as only a writer can migrate it.
//
// Three cases, since SQLite cannot share a file without those two:
//   - neither is there: nobody has the file open, and it is read as it stands, without locks. Fresh then tells whether a writer
//     came meanwhile.
//   - they are there: a writer lives, or crashed. SQLite reads along with it, through them.
//   - they are there but cannot be used, and -wal is empty: as in the first case.
func OpenReadOnly(ctx context.Context, path string, version int) (*DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFoundf("there is no file %s", path)
	} else if err != nil {
		return nil, Classify(err, path)
	}
	was, err := stateOf(path)
	if err != nil {
		return nil, Classify(err, path)
	}
	if was.alone {
		return openAs(ctx, path, version, &was)
	}
	db, err := openAs(ctx, path, version, nil)
	if cannotShare(err) && was.walSize == 0 {
		return openAs(ctx, path, version, &was)
	}
	return db, err
}

// openAs opens the file without locks where was is given, else in SQLite's read-only mode.
func openAs(ctx context.Context, path string, version int, was *fileState) (*DB, error) {
	parameters := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(" + busyMillis + ")", "query_only(1)"}}
	if was != nil {
		parameters.Set("immutable", "1")
	}
	db, err := connect(path, parameters)
	if err != nil {
		return nil, err
	}
	db.was = was
	have, err := db.version(ctx)
	if err == nil {
		err = db.known(have, version)
	}
	if err == nil && have < version {
		err = fault.Unavailablef("%s was written by an older Serin (its format is %d; this one reads %d)", path, have, version).
			WithHint("run a command that writes, such as serin serve, once: it brings the file up to date")
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// fileState is what shows that a writer was at the file.
type fileState struct {
	size    int64
	changed time.Time
	walSize int64 // 0 where there is no -wal
	alone   bool  // neither -wal nor -shm is there
}

func stateOf(path string) (s fileState, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	s.size, s.changed, s.alone = info.Size(), info.ModTime(), true
	for _, suffix := range []string{"-wal", "-shm"} {
		beside, err := os.Stat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.alone = false
		if suffix == "-wal" {
			s.walSize = beside.Size()
		}
	}
	return s, nil
}

// Fresh tells whether what was read since OpenReadOnly can be trusted: nil, or Unavailable where the file was read without locks
// and a writer came meanwhile. Ask it after each transaction, before using what was read. It is always nil for a DB from Open.
func (db *DB) Fresh() error {
	if db.was == nil {
		return nil
	}
	now, err := stateOf(db.path)
	if err != nil {
		return Classify(err, db.path)
	}
	// A -shm that appeared or went is no change of content: only a commit fills -wal, and only a checkpoint the file itself.
	if now.size != db.was.size || !now.changed.Equal(db.was.changed) || now.walSize != db.was.walSize {
		return fault.Unavailablef("%s changed while it was read", db.path).WithHint("run the command again")
	}
	return nil
}
