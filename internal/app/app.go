// Package app is the only place where the parts meet: it opens the data directory, builds registry, gateway and control plane from
// their adapters, runs them, and stops them in reverse.
//
//	Serve:  lock ─► stores ─► registry ─► gateway ◄─ follower (load, check, swap)
//	                             └─► control plane: socket, TCP
//	Reader, Writer:  the same control plane for commands, in-process or over the socket of a running server
package app

import (
	"log/slog"
	"os"
	"time"

	"github.com/serin-ml/serin/internal/config"
	"github.com/serin-ml/serin/internal/predict/trees"
	"github.com/serin-ml/serin/internal/registry"
)

// Options are what a command tells the app.
type Options struct {
	DataDir string
	Create  bool   // make the data directory where it is absent
	Version string // of Serin
	Log     *slog.Logger
	Now     func() time.Time

	Runtimes []registry.NamedRuntime // more of them than the binary has, asked after those
	// Reread reads the configuration that Serve was given anew, and tells of which file ("": none). Nil: it cannot be reloaded.
	Reread func() (c *config.Config, file string, err error)
	// Hangup asks for a reload; nil: only the API does.
	Hangup <-chan os.Signal
}

// runtimes are all that the binary knows, in the order in which they are asked whether an artefact is theirs, and then more.
func runtimes(more []registry.NamedRuntime) []registry.NamedRuntime {
	return append([]registry.NamedRuntime{
		{Name: "trees", Runtime: trees.Runtime{}},
	}, more...)
}
