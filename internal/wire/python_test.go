package wire

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/serin-ml/serin/internal/tensor"
	"github.com/serin-ml/serin/internal/testenv"
)

// numbersAsPythonHasThem reads a JSON array a line and prints, a line each, the bits of its float32 in numpy and Python's own text of
// its double.
const numbersAsPythonHasThem = `
import json, sys
import numpy as np
for v in json.load(sys.stdin):
    print(np.array([v], dtype=np.float32).view(np.uint32)[0], json.dumps(v))
`

// TestNumbersAreThoseOfNumpy holds the numbers we read and write against Python's json and numpy, which clients and training code have:
// decimals at, just above and just below the middle between two float32 first of all, where one rounding and two can differ.
func TestNumbersAreThoseOfNumpy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var texts []string
	add := func(v float64) { texts = append(texts, strconv.FormatFloat(v, 'g', -1, 64)) }
	for range 2000 {
		f := math.Float32frombits(r.Uint32())
		if f != f || math.Abs(float64(f)) > 1e38 {
			continue
		}
		middle := (float64(f) + float64(math.Nextafter32(f, 1e38))) / 2
		add(float64(f))
		add(middle)
		add(math.Nextafter(middle, math.Inf(1)))
		add(math.Nextafter(middle, math.Inf(-1)))
		// Digits beyond a double's: above the middle as text, the middle itself once it is a double.
		texts = append(texts, strconv.FormatFloat(middle, 'e', 30, 64)[:32]+"1"+strconv.FormatFloat(middle, 'e', 30, 64)[32:])
		add(r.NormFloat64() * math.Pow(10, float64(r.IntN(60)-30)))
	}
	add(1e16)
	add(9999999999999998)
	add(1e-4)
	add(0.00009999999999999999)
	list := "[" + strings.Join(texts, ",") + "]"
	cmd := exec.Command(testenv.Python(t, "xgboost"), "-c", numbersAsPythonHasThem)
	cmd.Stdin, cmd.Stderr = strings.NewReader(list), new(bytes.Buffer)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	x, err := OpenInference{}.Decode([]byte(infer(fmt.Sprintf("[%d]", len(texts)), "FP32", list)), score, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	singlesRead := x.Request().Inputs[0].Data.([]float32)
	x, err = Seldon{}.Decode([]byte(`{"data":{"ndarray":`+list+`}}`), tensor.Signature{Inputs: []tensor.Spec{{DType: tensor.Float64}}}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	doublesRead := x.Request().Inputs[0].Data.([]float64)
	if len(lines) != len(texts) || len(singlesRead) != len(texts) || len(doublesRead) != len(texts) {
		t.Fatalf("%d lines, %d and %d numbers for %d texts", len(lines), len(singlesRead), len(doublesRead), len(texts))
	}
	once := 0
	for i, line := range lines {
		bits, text, _ := strings.Cut(line, " ")
		if got := strconv.Itoa(int(math.Float32bits(singlesRead[i]))); got != bits {
			t.Errorf("%s is float32 %s for us, %s for numpy", texts[i], got, bits)
		}
		if got := appendFloat(nil, doublesRead[i], 64); string(got) != text {
			t.Errorf("%s is written %s by us, %s by Python", texts[i], got, text)
		}
		if v, _ := strconv.ParseFloat(texts[i], 32); float32(v) != singlesRead[i] {
			once++
		}
	}
	if once == 0 {
		t.Error("no text tells rounding once from rounding twice")
	}
}
