package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/store"
)

// danger is what a file is, where that may carry code or cannot be looked into.
type danger struct {
	what string // "a Python pickle"
	why  string // why that is refused
	hint func(name string) string
}

// refuseCode looks at the content of a stored file, and never at its name: one whose format can carry code is Invalid.
func (r *Registry) refuseCode(ctx context.Context, f File) error {
	blob, err := r.blobs.Open(ctx, f.Digest)
	if err != nil {
		return fileError(f.Path, err)
	}
	defer blob.Close()
	at, ok := blob.(io.ReaderAt)
	if !ok {
		content, err := store.ReadVerified(ctx, r.blobs, f.Digest)
		if err != nil {
			return fileError(f.Path, err)
		}
		at = bytes.NewReader(content)
	}
	return inspect(ctx, f.Path, at, f.Size)
}

// inspect is refuseCode for a file of that size.
func inspect(ctx context.Context, path string, content io.ReaderAt, size int64) error {
	source := &watched{ctx: ctx, r: content}
	i := inspector{budget: maxExpanded}
	d, err := i.file(source, size)
	if source.err != nil { // what could not be read was not looked at
		return fileError(path, source.err)
	}
	if err != nil {
		d = opaque(err.Error())
	}
	if d == nil {
		return nil
	}
	return fault.Invalidf("%q is %s, which is refused: %s", path, d.what, d.why).WithHint("%s", d.hint(path))
}

// watched remembers a read that failed: to those who parse, it looks like the end of the content.
type watched struct {
	ctx context.Context
	r   io.ReaderAt
	err error
}

func (w *watched) ReadAt(p []byte, at int64) (int, error) {
	if err := w.ctx.Err(); err != nil {
		w.err = err
		return 0, err
	}
	if at < 0 { // a broken archive sends its reader there
		return 0, errNegative
	}
	n, err := w.r.ReadAt(p, at)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

var errNegative = errors.New("a place before the beginning")

const whyPickle = "loading a pickle runs whatever code it holds"

// pickleDanger says what kind of pickle it is, from the names of modules in its first bytes.
func pickleDanger(head []byte, how string) *danger {
	d := &danger{what: "a Python pickle" + how, why: whyPickle}
	has := func(module string) bool { return bytes.Contains(head, []byte(module)) }
	if has("joblib") {
		d.what = "a joblib file (a Python pickle)" + how
	}
	if bytes.HasPrefix(head, []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) {
		d.what = "a PyTorch file of the old format (Python pickles)" + how
		d.hint = torchHint
		return d
	}
	load := func(name string) string {
		if how != "" || has("joblib") || has("sklearn") { // joblib reads plain and compressed pickles alike
			return "import joblib; m = joblib.load('" + quotable(name) + "')"
		}
		return "import pickle; m = pickle.load(open('" + quotable(name) + "', 'rb'))"
	}
	convert := func(rest string) func(string) string {
		return func(name string) string {
			return "where you trust the file, convert it: python -c \"" + load(name) + "; " + rest + "\", and import the new file"
		}
	}
	switch {
	case has("lightgbm"): // before XGBoost: each of its models has a parameter xgboost_dart_mode
		d.hint = convert("getattr(m, 'booster_', m).save_model('model.txt')")
	case has("xgboost"):
		d.hint = convert("getattr(m, 'get_booster', lambda: m)().save_model('model.ubj')")
	case has("catboost"):
		d.hint = convert("m.save_model('model.onnx', format='onnx')")
	case has("torch"):
		d.hint = torchHint
	case has("sklearn"):
		d.hint = convert("from skl2onnx import to_onnx; import numpy as np; " +
			"open('model.onnx', 'wb').write(to_onnx(m, np.zeros((1, m.n_features_in_), np.float32)).SerializeToString())")
	default:
		d.hint = func(name string) string {
			return "where you trust the file, load it in Python (" + load(name) + ") and save the model in a format without code. " +
				"XGBoost: m.get_booster().save_model('model.ubj'); LightGBM: m.booster_.save_model('model.txt'); " +
				"scikit-learn: skl2onnx.to_onnx; PyTorch: torch.onnx.export"
		}
	}
	return d
}

func torchHint(string) string {
	return "where you trust the file, export the model to ONNX in Python, with an input of the right shape: " +
		"torch.onnx.export(model, (example_input,), 'model.onnx'), and import model.onnx"
}

func torchDanger() *danger {
	return &danger{"a PyTorch file (a zip of Python pickles)", whyPickle, torchHint}
}

func marDanger(how string) *danger {
	return &danger{"a TorchServe archive" + how, "it holds Python code (the handler) and pickles", torchHint}
}

func kerasDanger(what string) *danger {
	return &danger{what, "such a file may hold Python code in Lambda layers", func(name string) string {
		return "where you trust the file, export the model to ONNX: python -c \"import keras; keras.saving.load_model('" +
			quotable(name) + "').export('model.onnx', format='onnx')\", and import model.onnx"
	}}
}

func numpyDanger() *danger {
	return &danger{"a NumPy file of Python objects (pickles)", whyPickle, func(name string) string {
		return "where you trust the file, write it again with numbers: python -c \"import numpy as np; np.save('numbers.npy', " +
			"np.load('" + quotable(name) + "', allow_pickle=True).astype('float64'))\""
	}}
}

// opaque is what cannot be looked into, and so may hold anything.
func opaque(what string) *danger {
	return &danger{what, "it cannot be looked into, and may hold code", func(string) string {
		return "unpack it first, and import the files in it"
	}}
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9._/+=,@-]+$`)

// quotable gives the name for use in a command that people paste into a shell; an odd one could end the quotes and run on.
func quotable(name string) string {
	if harmless.MatchString(name) && !strings.HasPrefix(name, "-") {
		return name
	}
	return "FILE"
}
