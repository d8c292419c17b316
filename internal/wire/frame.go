package wire

import (
	"errors"
	"time"

	"github.com/serin-ml/serin/internal/fault"
)

// Framer is an Exchange whose answer is not plain JSON. Frame describes what its last Answer appended.
type Framer interface {
	Frame() Frame
}

// Frame is what an answer needs beside its bytes.
type Frame struct {
	ContentType string // "" means application/json
	HeaderBytes int    // how many of the bytes are JSON, before binary tensors; 0: all, and no header tells it
}

// Timed is an Exchange whose request may say how long its caller waits for the answer.
type Timed interface {
	// Timeout returns how long from now on; 0: the request does not say.
	Timeout() time.Duration
}

// The outputs on demand that explanations are made of, as every runtime that can explain names them.
const (
	Contributions = "contributions" // [rows, features+1] or [rows, outputs, features+1]; the last is what holds without any feature
	Margin        = "margin"        // what the contributions of a row add up to
)

// ErrCannotExplain is what an explain call gives for a model that has no contributions to offer.
var ErrCannotExplain = fault.Invalidf("this model cannot be explained: its runtime gives no contributions")

// ErrUnsupportedMedia is wrapped by errors about a content type or a form of a body that a dialect does not speak.
var ErrUnsupportedMedia = errors.New("unsupported media type")
