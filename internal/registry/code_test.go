package registry

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/testenv"
)

func inspectBytes(name string, content []byte) error {
	return inspect(context.Background(), name, bytes.NewReader(content), int64(len(content)))
}

func TestEveryPickleOfPythonIsRefusedWhateverItsName(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		testenv.Missing(t, "python3 is absent")
	}
	dir := t.TempDir()
	listing, err := exec.Command(python, filepath.Join("testdata", "pickles.py"), dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(listing))
	if len(names) < 150 {
		t.Fatalf("only %d files were written", len(names))
	}
	h := newHome(t)
	hints := map[string]string{
		"xgboost": "save_model('model.ubj')", "lightgbm": "save_model('model.txt')", "sklearn": "skl2onnx", "torch": "torch.onnx.export",
		"joblib": "joblib.load('model.json')",
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = h.commit("m", files{"model.json": string(content)}, CommitOptions{})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "pickle") || !strings.Contains(err.Error(), "runs whatever code it holds") || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
			continue
		}
		library, rest, _ := strings.Cut(name, "-")
		if want, ok := hints[library]; ok && len(rest) == 1 && !strings.Contains(fault.HintOf(err), want) {
			t.Errorf("%s: the hint %q does not tell %q", name, fault.HintOf(err), want)
		}
	}
	if got := blobCount(t, h); got != 0 {
		t.Errorf("%d blobs are left", got)
	}
}

// zipOf makes a zip of name, content pairs.
func zipOf(pairs ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		f, _ := w.Create(pairs[i])
		f.Write([]byte(pairs[i+1]))
	}
	w.Close()
	return b.Bytes()
}

func tarOf(pairs ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		w.WriteHeader(&tar.Header{Name: pairs[i], Mode: 0o644, Size: int64(len(pairs[i+1])), Format: tar.FormatUSTAR})
		w.Write([]byte(pairs[i+1]))
	}
	w.Close()
	return b.Bytes()
}

func gzipOf(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

func zlibOf(content []byte, level int) []byte {
	var b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&b, level)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

// npyOf is a .npy file of that header's descr (NEP 1).
func npyOf(version byte, descr string) []byte {
	header := "{'descr': " + descr + ", 'fortran_order': False, 'shape': (3,), }\n"
	b := []byte{0x93, 'N', 'U', 'M', 'P', 'Y', version, 0}
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	return append(append(b, header...), make([]byte, 24)...)
}

const smallPickle = "cos\nsystem\n(S'true'\ntR."

func TestOtherFormatsThatCarryCodeAreRefused(t *testing.T) {
	hdf5 := "\x89HDF\r\n\x1a\n"
	legacy := "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."
	tests := map[string]struct {
		content []byte
		what    string
		hint    string
	}{
		"torch zip":                  {zipOf("archive/version", "3\n", "archive/data.pkl", "x"), "a PyTorch file", "torch.onnx.export"},
		"torch zip, other root":      {zipOf("a/b/data.pkl", "x"), "a PyTorch file", "torch.onnx.export"},
		"torch, old":                 {[]byte(legacy), "a PyTorch file of the old format", "torch.onnx.export"},
		"torchserve":                 {zipOf("MAR-INF/MANIFEST.json", "{}", "handler.py", "x"), "a TorchServe archive", "torch.onnx.export"},
		"torchserve tgz":             {gzipOf(tarOf("MAR-INF/MANIFEST.json", "{}")), "a TorchServe archive", "torch.onnx.export"},
		"keras hdf5":                 {[]byte(hdf5 + "rest"), "an HDF5 file", "keras.saving.load_model('model.onnx')"},
		"hdf5 after a user block":    {append(make([]byte, 1024), hdf5+"rest"...), "an HDF5 file", "keras"},
		"keras zip":                  {zipOf("metadata.json", "{}", "config.json", "{}", "model.weights.h5", hdf5), "a Keras file", "keras.saving.load_model"},
		"hdf5 in a zip":              {zipOf("weights", hdf5+"x"), "an HDF5 file", ""},
		"numpy objects":              {npyOf(1, "'|O'"), "a NumPy file of Python objects", "allow_pickle=True"},
		"numpy objects, version 3":   {npyOf(3, "'O'"), "a NumPy file of Python objects", "astype"},
		"numpy records":              {npyOf(2, "[('a', '<f8'), ('b', '|O8')]"), "a NumPy file of Python objects", "astype"},
		"numpy, hidden header":       {[]byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr'"), "a NumPy file of Python objects", ""},
		"npz of objects":             {zipOf("arr_0.npy", string(npyOf(1, "'<f8'")), "arr_1.npy", string(npyOf(1, "'|O'"))), "a NumPy file of Python objects", ""},
		"protocol 0 by hand":         {[]byte(smallPickle), "a Python pickle", "save the model"},
		"broken off after the call":  {[]byte("cos\nsystem\n(S'true'\ntR\xff\xff"), "a Python pickle", ""},
		"odd numbers":                {[]byte("I 0x1_0\n0cos\nsystem\n(S'true'\ntR."), "a Python pickle", ""},
		"by INST":                    {[]byte("(S'true'\nios\nsystem\n."), "a Python pickle", ""},
		"by STACK_GLOBAL, no header": {[]byte("\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."), "a Python pickle", ""},
		"by an extension":            {[]byte("\x80\x02\x82\x01)R."), "a Python pickle", ""},
		"after many marks":           {[]byte(strings.Repeat("(", 200_000) + smallPickle), "a Python pickle", ""},
		"after a long string":        {[]byte("S'" + strings.Repeat("x", 1<<20) + "'\n0" + smallPickle), "a Python pickle", ""},
		"after a harmless one":       {[]byte("N." + smallPickle), "a Python pickle", ""},
		"a list of Python's own":     {[]byte("csys\npath\nS'/tmp'\na."), "a Python pickle", ""},
		"import alone":               {[]byte("cos\nsystem\n."), "a Python pickle", ""},
		"begins like zlib":           {[]byte("(\x15" + "}"), "", ""},
		"zlib, no compression":       {zlibOf([]byte(smallPickle), 0), "a Python pickle, compressed by zlib", "joblib.load"},
		"zlib, best":                 {zlibOf([]byte(smallPickle), 9), "a Python pickle, compressed by zlib", "joblib.load"},
		"pickle in tar":              {tarOf("a", "hello", "b", smallPickle), "a Python pickle", ""},
		"zip in zip":                 {zipOf("inner", string(zipOf("x", smallPickle))), "a Python pickle", ""},
		"gzip in tar in gzip":        {gzipOf(tarOf("x", string(gzipOf([]byte(smallPickle))))), "a Python pickle", ""},
		"packed too often":           {gzipOf(gzipOf(gzipOf(gzipOf(gzipOf(gzipOf([]byte("x"))))))), "packed more than 4 times", "unpack it"},
		"xz":                         {[]byte("\xfd7zXZ\x00\x00\x04"), "an xz file", "unpack it"},
		"zstd":                       {[]byte("\x28\xb5\x2f\xfd\x00"), "a Zstandard file", "unpack it"},
		"lz4":                        {[]byte("\x04\x22\x4d\x18\x64"), "an LZ4 file", "unpack it"},
		"lzma":                       {[]byte("\x5d\x00\x00\x80\x00"), "an LZMA file", "unpack it"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := inspectBytes("model.onnx", tt.content)
			if tt.what == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			wantError(t, err, fault.Invalid, `"model.onnx" is `, tt.what, "which is refused", tt.hint)
			if fault.HintOf(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestBombsAreLeftAlone(t *testing.T) {
	const room = 1 << 20
	for name, content := range map[string][]byte{
		"gzip":            gzipOf(bytes.Repeat([]byte("N0"), room)),
		"zip of many":     zipOf("a", strings.Repeat("N0", room/3), "b", strings.Repeat("N0", room/3)),
		"zip in gzip":     gzipOf(zipOf("a", strings.Repeat("x", 9*room), "b", smallPickle)),
		"tar in gzip":     gzipOf(tarOf("a", strings.Repeat("x", 9*room))),
		"nothing of much": gzipOf(append(gzipOf(nil)[:10], bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, room)...)), // empty blocks
		"gzips in gzips":  gzipOf(gzipOf(bytes.Repeat([]byte("N0"), 9*room))),
	} {
		i := inspector{budget: room}
		d, err := i.file(bytes.NewReader(content), int64(len(content)))
		if tooMuch, ok := errors.AsType[errTooMuch](err); d == nil && !ok {
			t.Errorf("%s: %v, %v", name, d, err)
		} else if ok && !strings.Contains(string(tooMuch), "unpacks to more") {
			t.Errorf("%s: %v", name, err)
		}
		if i.budget < -room {
			t.Errorf("%s: %d bytes were unpacked", name, room-i.budget)
		}
	}
}

func TestEncryptedAndUnknownZipsAreRefused(t *testing.T) {
	content := zipOf("a", "hello")
	central := bytes.LastIndex(content, []byte("PK\x01\x02"))
	encrypted := bytes.Clone(content)
	encrypted[central+8] |= 1
	unknown := bytes.Clone(content)
	unknown[central+10] = 99
	for name, content := range map[string][]byte{"encrypted": encrypted, "unknown way": unknown} {
		wantError(t, inspectBytes("a", content), fault.Invalid, name, "cannot be looked into")
	}
}

func TestCommandsInHintsCannotBeTurnedAgainstTheReader(t *testing.T) {
	for _, name := range []string{"a'); import os; os.system('x", "$(reboot)", "`reboot`", "-c", "a b"} {
		hint := fault.HintOf(inspectBytes(name, []byte(smallPickle)))
		if strings.Contains(hint, name) || !strings.Contains(hint, "'FILE'") {
			t.Errorf("%q: %s", name, hint)
		}
	}
}

func TestUnreadableContentIsNeverTakenForHarmless(t *testing.T) {
	broken := errors.New("disk failed")
	for _, at := range []int64{0, 100, 5000} {
		r := failingAt{bytes.NewReader(bytes.Repeat([]byte("N"), 10_000)), at, broken}
		if err := inspect(context.Background(), "a", r, 10_000); !errors.Is(err, broken) {
			t.Errorf("failing at %d: %v", at, err)
		}
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := inspect(done, "a", strings.NewReader("hello"), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type failingAt struct {
	io.ReaderAt
	at  int64
	err error
}

func (f failingAt) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.at {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, at)
}

// harmlessTexts begin as pickles could, and are none.
var harmlessTexts = []string{
	"", "N.", "N.B. this is text", "Value,Name\n1,2\n", "cat\ndog\nbird\n", "count\nten\n.5\n", "(see below)\nfor more\n", "(inner join)\n", "country\nFrance\n0\n",
	"I\n", "Ireland\nItaly\n", "S'quoted'\n", "]", "}", ")", "K", "id,name\nx,y\n", "tree\nversion=v4\nnum_class=1\n", "label\n0\n1\n", "d\nl\nt\n",
	"x^2 + y^2", "hello 8", "BZh is a magic number", "\x1f\x8b is one too", "PK\x03\x04", "(a,b)", "((1,2),(3,4))", "L5\n", "V1.0\nV2.0\n", "F1.5\nF2.5\n",
	"0 1:2 3:4\n1 1:1\n", "1,2,3\n", "-1.5\n", "binf\x00\x00\x00\x3f", "{\"a\": 1}", "[1, 2]", "\x08\x07\x12\x04onnx",
}

func TestOrdinaryTextIsNeverFlagged(t *testing.T) {
	for _, text := range harmlessTexts {
		if err := inspectBytes("a", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for name, content := range map[string][]byte{
		"npy of numbers": npyOf(1, "'<f8'"), "npz of numbers": zipOf("a.npy", string(npyOf(1, "'<f4'"))), "zip of text": zipOf("a", "hello", "b", "{}"),
		"gzip of JSON": gzipOf([]byte(`{"a":1}`)), "tar of text": tarOf("a", "hello"), "gzip cut short": gzipOf(bytes.Repeat([]byte("abc"), 9999))[:60],
		"tar cut short": tarOf("a", strings.Repeat("hello", 999))[:700],
	} {
		if err := inspectBytes("a", content); err != nil && !strings.Contains(name, "tar cut") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRandomTextJSONAndCSVAreNeverFlagged(t *testing.T) {
	word := rapid.OneOf(rapid.StringMatching(`[A-Za-z_]{1,8}`), rapid.String(), rapid.StringMatching(`-?[0-9]{1,5}(\.[0-9]{1,3})?`))
	rapid.Check(t, func(t *rapid.T) {
		var content []byte
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			var b bytes.Buffer
			w := csv.NewWriter(&b)
			for _, record := range rapid.SliceOfN(rapid.SliceOfN(word, 1, 4), 1, 6).Draw(t, "records") {
				w.Write(record)
			}
			w.Flush()
			content = b.Bytes()
		case 1:
			content, _ = json.Marshal(rapid.MapOf(word, rapid.SliceOf(word)).Draw(t, "object"))
		case 2:
			content = []byte(strings.Join(rapid.SliceOf(word).Draw(t, "lines"), "\n"))
		default:
			content = []byte(strings.Join(rapid.SliceOf(word).Draw(t, "words"), " "))
		}
		if err := inspectBytes("a", content); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	})
}

func TestRealModelsAreNeverFlagged(t *testing.T) {
	checked := 0
	for _, folder := range []string{"trees", "protocol", "urls", "reviews", "bandit"} {
		err := filepath.WalkDir(testenv.Data(t, folder), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			checked++
			if err := inspectBytes("a", content); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked < 50 {
		t.Errorf("only %d files were there", checked)
	}
}

func FuzzInspect(f *testing.F) {
	for _, seed := range [][]byte{
		[]byte(smallPickle), []byte("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00}."), gzipOf([]byte(smallPickle)), zlibOf([]byte("x"), 9), zipOf("a/data.pkl", "x"),
		tarOf("a", smallPickle), npyOf(1, "'|O'"), []byte("\x89HDF\r\n\x1a\n"), []byte("BZh91AY&SY"), []byte(`{"learner":{}}`), zipOf("z", string(zipOf("y", "x"))),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		err := inspectBytes("a", content)
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v: %v", fault.KindOf(err), err)
		}
		if again := isPickle(iotest.OneByteReader(bytes.NewReader(content))); again != isPickle(bytes.NewReader(content)) {
			t.Error("it depends on how the content is read")
		}
	})
}
