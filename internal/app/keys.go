package app

import (
	"crypto/rand"
	"path/filepath"

	"github.com/serin-ml/serin/internal/event"
	"github.com/serin-ml/serin/internal/traffic"
)

// keysName is the file of the secret keys inside the data directory.
const keysName = "keys"

// loadKeys reads the data directory's keys, making them at the first start: those that sign tokens, and what is derived from them for
// cookies and units. Units are hashed with the oldest key, so that a new one in front does not rename them.
func loadKeys(dir string) (*event.Keys, *traffic.Keys, error) {
	keys, err := event.LoadKeys(filepath.Join(dir, keysName), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	units := keys.Secrets("units")
	cookies, err := traffic.NewKeys(units[len(units)-1], keys.Secrets("cookies")...)
	return keys, cookies, err
}
