package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/serin-ml/serin/internal/api"
	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/registry"
)

// socketName is the control plane's socket inside the data directory.
const socketName = "serin.sock"

// lockWait is how long a command waits for another command to finish with the data directory.
const lockWait = 10 * time.Second

// Reader returns a client of the control plane over dir for looking only. It works in-process on a read-only view, whether a server
// runs or not, and never takes the lock. Close it.
func Reader(ctx context.Context, o Options) (*Control, error) {
	d, err := openDir(ctx, o, readOnly)
	if err != nil {
		return nil, err
	}
	return &Control{Client: inProcess(o, d), Registry: d.registry, close: d.Close}, nil
}

// Writer returns a client of the control plane over dir for changing it: through the server that holds the directory, or in-process
// while holding it itself. Close it.
func Writer(ctx context.Context, o Options) (*Control, error) {
	d, served, err := hold(ctx, o)
	switch {
	case served:
		return &Control{Client: Server(o.DataDir)}, nil
	case err != nil:
		return nil, err
	}
	return &Control{Client: inProcess(o, d), Registry: d.registry, close: d.Close}, nil
}

// hold opens the data directory for writing. Where a server holds it, served is true, and the error the lock's. Where another command
// does, or a server that does not listen yet, hold waits for that to change.
func hold(ctx context.Context, o Options) (d *dataDir, served bool, err error) {
	if _, err := os.Stat(filepath.Join(o.DataDir, databaseName)); errors.Is(err, os.ErrNotExist) && !o.Create {
		return nil, false, noData(o.DataDir) // a directory that was mistyped is not made
	}
	waiting, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		d, err = openDir(ctx, o, readWrite)
		if fault.KindOf(err) != fault.Conflict {
			return d, false, err
		}
		conn, dialErr := net.Dial("unix", filepath.Join(o.DataDir, socketName)) //nolint:noctx // a local socket answers or refuses at once
		if dialErr == nil {
			conn.Close()
			return nil, true, err
		}
		select {
		case <-waiting.Done():
			return nil, false, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Server returns a client of the server that holds the data directory dir, whether one is there or not.
func Server(dir string) *api.Client { return overSocket(filepath.Join(dir, socketName)) }

// Reload lets the server that holds the data directory dir read its configuration anew. It is Unavailable where there is none.
func Reload(ctx context.Context, dir string) (api.Reloaded, error) {
	server, err := Running(dir)
	if err != nil {
		return api.Reloaded{}, err
	}
	return server.Reload(ctx)
}

// Running returns a client of the server that holds the data directory dir. It is Unavailable where there is none.
func Running(dir string) (*api.Client, error) {
	conn, err := net.Dial("unix", filepath.Join(dir, socketName)) //nolint:noctx // a local socket answers or refuses at once
	if err != nil {
		return nil, fault.Unavailablef("no server runs on the data directory %s", dir).
			WithHint("`serin serve` starts one; --data-dir names another directory")
	}
	conn.Close()
	return Server(dir), nil
}

// Control is a way to the control plane of one data directory.
type Control struct {
	*api.Client
	Registry *registry.Registry // for reading models into this process; nil when a server holds the directory
	close    func() error
}

// Close releases what the way there needed.
func (c *Control) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

func inProcess(o Options, d *dataDir) *api.Client {
	options := api.Options{
		Version: o.Version, Registry: d.registry, Log: o.Log, Now: o.Now, Traffic: newTrafficState(d.state, o.Now, nil),
		Releases: releaseBook{d.state, o.Now},
	}
	askTelemetry(&options, o.DataDir)
	handler := api.New(options)
	return api.NewClient("http://in-process", api.Direct(handler))
}

// overSocket speaks to the server that listens on a Unix socket.
func overSocket(path string) *api.Client {
	return api.NewClient("http://localhost", &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	})
}

// listenSocket listens on the data directory's socket, for its owner alone. The caller holds the lock, so a socket that is there is a
// dead server's.
func listenSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	const longest = 103 // what every system's socket address holds
	if len(path) > longest {
		return nil, fault.Invalidf("the path %s is too long for a socket (%d bytes, at most %d)", path, len(path), longest).
			WithHint("choose a data directory with a shorter path")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, diskError("control socket", err)
	}
	l, err := net.Listen("unix", path) //nolint:noctx // it does not wait
	if err != nil {
		return nil, diskError("control socket", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, diskError("control socket", err)
	}
	return l, nil
}
