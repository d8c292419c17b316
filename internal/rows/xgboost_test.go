package rows

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/testenv"
)

// readByXGBoost has XGBoost read libsvm files and prints what is present: row, column and value, and each row's label.
const readByXGBoost = `
import sys, warnings
warnings.simplefilter("ignore")
import xgboost as xgb
for path in sys.argv[1:]:
    d = xgb.DMatrix(path + "?format=libsvm")
    m, labels = d.get_data(), d.get_label()
    for i in range(m.shape[0]):
        cells = sorted(zip(m.indices[m.indptr[i]:m.indptr[i+1]].tolist(), m.data[m.indptr[i]:m.indptr[i+1]].tolist()))
        print(float(labels[i]), *("%d:%r" % c for c in cells))
`

// TestLibSVMReadsAsXGBoostReadsIt compares cell by cell: which are present, in which column, with which value. XGBoost's reader may be one
// float32 off (see the package comment); ours must not be.
func TestLibSVMReadsAsXGBoostReadsIt(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "odd.libsvm")
	if err := os.WriteFile(odd, []byte("1 0:0.1 3:-2.5e-3\n0 1:16777217\n-1.5 2:1e30 0:3 # all\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := []string{odd}
	for _, path := range []string{"trees/xgboost/agaricus.txt.test", "trees/xgboost/rank.test.txt", "trees/leaves/iris_test.libsvm", "trees/treelite/dermatology/dermatology.test"} {
		paths = append(paths, testenv.Data(t, strings.Split(path, "/")...))
	}
	cmd := exec.Command(testenv.Python(t, "xgboost17"), append([]string{"-c", readByXGBoost}, paths...)...)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	cells := 0
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := Open(f, LibSVM, Options{Width: 200, Name: path})
		if err != nil {
			t.Fatal(err)
		}
		b, err := all[float32](r, 100)
		if err != nil || b.Rows > len(want) {
			t.Fatalf("%s: %d rows where XGBoost has %d, %v", path, b.Rows, len(want), err)
		}
		for i := range b.Rows {
			theirs := make([]float32, b.Width)
			for j := range theirs {
				theirs[j] = float32(math.NaN())
			}
			fields := strings.Fields(want[i])
			for _, field := range fields[1:] {
				column, value, _ := strings.Cut(field, ":")
				j, _ := strconv.Atoi(column)
				v, err := strconv.ParseFloat(value, 32)
				if err != nil {
					t.Fatal(err)
				}
				theirs[j] = float32(v)
				cells++
			}
			if label, err := strconv.ParseFloat(fields[0], 64); err != nil || label != b.Labels[i] {
				t.Errorf("%s, row %d: the label is %v, XGBoost has %s", path, i, b.Labels[i], fields[0])
			}
			for j, v := range b.Values[i*b.Width : (i+1)*b.Width] {
				if up, down := math.Nextafter32(v, 1e38), math.Nextafter32(v, -1e38); theirs[j] != v && theirs[j] != up && theirs[j] != down && (v == v || theirs[j] == theirs[j]) {
					t.Errorf("%s, row %d, column %d: %v, XGBoost has %v", path, i, j, v, theirs[j])
				}
			}
		}
		want = want[b.Rows:]
	}
	if len(want) != 0 || cells < 30000 {
		t.Errorf("%d rows of XGBoost's are left; %d cells were compared", len(want), cells)
	}
}
