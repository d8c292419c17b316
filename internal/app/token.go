package app

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
)

// controlToken returns the token of the control plane, kept in the data directory and made at first use, readable by its owner alone.
func controlToken(dir string) (string, error) {
	path := filepath.Join(dir, "control.token")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		token := rand.Text() + rand.Text() // 260 bits
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			return "", diskError("control token", err)
		}
		return token, nil
	}
	if err != nil {
		return "", diskError("control token", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 20 {
		return "", fault.Invalidf("the control token in %s is shorter than 20 characters", path).
			WithHint("remove the file; the next start makes a new one")
	}
	return token, nil
}
