package trees

import (
	"testing"

	"github.com/serin-ml/serin/internal/fault"
)

// fuzzOpen opens what may be anything. What opens answers.
func fuzzOpen(t *testing.T, data []byte) {
	allocated, m, err := openCounting(data)
	switch {
	case err == nil:
		if err := useIt(m); err != nil {
			t.Errorf("it opens, but: %v", err)
		}
	case fault.KindOf(err) != fault.Invalid:
		t.Errorf("the error is %v, want invalid: %v", fault.KindOf(err), err)
	}
	if limit := allowance(data); allocated > limit {
		t.Errorf("%d bytes were allocated for a file of %d, want at most %d", allocated, len(data), limit)
	}
}

func FuzzOpenJSON(f *testing.F) {
	for _, h := range []handmade{grove, dropout, thicket(), {trees: []*sprout{leaf(1)}}, {}} {
		f.Add(h.json())
	}
	for _, file := range []doc{linDoc(linWeights), linDoc(nil), vecDoc(true, nil), vecDoc(false, []float32{1, 0.5})} {
		f.Add(appendJSON(nil, file))
	}
	f.Fuzz(fuzzOpen)
}

func FuzzOpenUBJSON(f *testing.F) {
	for _, h := range []handmade{grove, dropout, thicket(), {trees: []*sprout{leaf(1)}}, {}} {
		f.Add(h.ubjson())
	}
	for _, file := range []doc{linDoc(linWeights), linDoc(nil), vecDoc(true, nil), vecDoc(false, []float32{1, 0.5})} {
		f.Add(appendUBJSON(nil, file, typedArrays))
	}
	for _, d := range dialects {
		f.Add(appendUBJSON(nil, thicket().doc(), d))
	}
	f.Fuzz(fuzzOpen)
}

func FuzzOpenBinary(f *testing.F) {
	old := binThicket()
	old.version = nil
	for _, data := range [][]byte{binGrove().binary(), dropout.binary(), binThicket().binary(), old.binary(), binLinear(1, 7), binLinear()} {
		f.Add(data)
		f.Add(append([]byte(binaryMagic), data...))
		f.Add(append([]byte{0, 0, 0, 2}, data...))
	}
	f.Fuzz(fuzzOpen)
}
