package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
	"github.com/serin-ml/serin/internal/store"
	"github.com/serin-ml/serin/internal/store/disk"
	storesqlite "github.com/serin-ml/serin/internal/store/sqlite"
)

// databaseName is the file of the state inside the data directory.
const databaseName = "serin.db"

// access is how a data directory is opened.
type access int

const (
	readOnly  access = iota // without the lock; it must exist
	readWrite               // with the lock; it is made where it is absent
)

// dataDir is an open data directory and the registry in it.
type dataDir struct {
	registry *registry.Registry
	state    store.State
	closers  []io.Closer // in the order of opening
}

// openDir opens the data directory. A Conflict says that another process has the lock.
func openDir(ctx context.Context, o Options, how access) (d *dataDir, err error) {
	d = &dataDir{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if how == readWrite {
		lock, err := lockDir(o.DataDir)
		if err != nil {
			return d, err
		}
		d.closers = append(d.closers, lock)
	} else if _, err := os.Stat(o.DataDir); errors.Is(err, fs.ErrNotExist) {
		return d, noData(o.DataDir)
	}
	path := filepath.Join(o.DataDir, databaseName)
	state, err := openState(ctx, path, how)
	if err != nil {
		return d, err
	}
	d.state, d.closers = state, append(d.closers, state)
	blobs, err := disk.Open(o.DataDir, disk.Options{})
	if err != nil {
		return d, err
	}
	d.closers = append(d.closers, blobs)
	d.registry, err = registry.New(registry.Options{Blobs: blobs, State: state, Runtimes: runtimes(o.Runtimes), Now: o.Now, Guard: guardAliases})
	return d, err
}

func openState(ctx context.Context, path string, how access) (*storesqlite.State, error) {
	if how == readWrite {
		return storesqlite.Open(ctx, path)
	}
	state, err := storesqlite.OpenReadOnly(ctx, path)
	if fault.KindOf(err) == fault.NotFound {
		return nil, noData(filepath.Dir(path))
	}
	return state, err
}

func noData(dir string) error {
	return fault.NotFoundf("there is no data in %s", dir).
		WithHint("import a model first (`serin model import NAME FILE`), or name another directory with --data-dir")
}

// Close closes everything, in reverse.
func (d *dataDir) Close() error {
	var all []error
	for _, c := range slices.Backward(d.closers) {
		all = append(all, c.Close())
	}
	d.closers = nil
	return errors.Join(all...)
}
