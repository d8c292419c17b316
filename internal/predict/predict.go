// Package predict says what a model is: a Runtime opens an artefact, and the Model it gives answers requests. Each runtime is an
// adapter in a folder of its own (predict/trees, ...), passes the suite in predict/predicttest, and is named in app's table.
package predict

import (
	"context"

	"github.com/serin-ml/serin/internal/tensor"
)

// Artefact gives a runtime the files of one version. It is read-only and complete.
type Artefact interface {
	// Files lists the paths of the files, slash-separated, sorted.
	Files() []string
	// ReadFile returns the bytes of one file, checked against its digest. The caller owns them. An unknown path is NotFound;
	// bytes that do not match are Internal.
	ReadFile(path string) ([]byte, error)
}

// Options are a version's own settings for its runtime, from model.yaml. A runtime refuses keys it does not know.
type Options map[string]string

// Runtime opens artefacts of the formats it knows.
type Runtime interface {
	// Detect tells whether the artefact is of a format this runtime opens, from its content and never from a name alone.
	Detect(a Artefact) bool
	// Open reads an artefact into a Model ready to answer. A file that is malformed, truncated, of an unsupported kind, or
	// an option that is unknown is Invalid, and says what and where.
	Open(ctx context.Context, a Artefact, o Options) (Model, error)
}

// Describer is a Runtime that tells people which formats it opens. It is optional.
type Describer interface {
	// Formats names the formats, and how files of related ones are turned into them, as the end of "this runtime opens ...".
	Formats() string
}

// Decliner is a Runtime that can say why it does not open files of a kind that it knows of. It is optional.
type Decliner interface {
	// Decline says what a is and why it is not opened, and what to do, as Invalid; nil where there is nothing to say of it. It is asked
	// about files that no runtime has detected.
	Decline(a Artefact) error
}

// Model answers requests. It is safe for concurrent use.
type Model interface {
	// Signature says what the model takes and gives. It never changes.
	Signature() tensor.Signature
	// Predict answers r, whose inputs fit the signature (tensor.Signature.Check has passed). The answer holds the outputs that
	// r asks for, or the signature's defaults, in that order. Values that the model cannot take (infinities, say) are Invalid. The answer is
	// the caller's: the model does not use its memory again, nor that of r.
	Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error)
}
