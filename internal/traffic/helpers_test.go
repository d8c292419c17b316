package traffic

import (
	"bufio"
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// facts is a request as a map from "header:NAME", "cookie:NAME", "query:NAME" and "client".
type facts map[string]string

func (f facts) Header(name string) string { return f["header:"+name] }
func (f facts) Cookie(name string) string { return f["cookie:"+name] }
func (f facts) Query(name string) string  { return f["query:"+name] }
func (f facts) Client() string            { return f["client"] }

func user(name string) facts { return facts{"header:X-User-Id": name} }

// The secrets of testdata/oracle.py.
const (
	unitSecret   = "unit secret of the golden file, longer than 32 bytes, and than the 64 of a block"
	firstSecret  = "first sticky secret"
	secondSecret = "second sticky secret, longer than 32 bytes"
)

func testKeys(t testing.TB, ring ...string) *Keys {
	t.Helper()
	var secrets [][]byte
	for _, s := range append(ring, firstSecret)[:max(1, len(ring))] {
		secrets = append(secrets, []byte(s))
	}
	k, err := NewKeys([]byte(unitSecret), secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// weights reads "stable=80 canary=20", and the names in that order.
func weights(t testing.TB, text string) (Weights, []string) {
	t.Helper()
	w := Weights{}
	var names []string
	for each := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(each, "=")
		weight, err := ParseWeight(value)
		if err != nil {
			t.Fatal(err)
		}
		w[name] = weight
		names = append(names, name)
	}
	return w, names
}

// policy compiles weights for units in the header X-User-Id, with more of a spec.
func policy(t testing.TB, shares string, change ...func(*Spec, *Options)) *Policy {
	t.Helper()
	w, names := weights(t, shares)
	sticky := new(Sticky)
	sticky.SetDefaults()
	sticky.Unit = "header:X-User-Id"
	spec := Spec{Weights: w, Sticky: sticky}
	o := Options{Service: "sentiment", Variants: names, Epoch: 1, Keys: testKeys(t)}
	for _, f := range change {
		f(&spec, &o)
	}
	p, err := Compile(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reweigh is p with other weights, in the same epoch.
func reweigh(t testing.TB, p *Policy, shares string) *Policy {
	t.Helper()
	w, _ := weights(t, shares)
	q, err := p.With(w, p.Epoch, p.Version+1)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func signedCookie(s *Spec, _ *Options) { s.Sticky.Cookie, s.Sticky.Unit = "sid", "" }
func plainCookie(s *Spec, _ *Options) {
	s.Sticky.Cookie, s.Sticky.Unit, s.Sticky.Mode = "model-service-version", "", ModePlain
}

// lines calls use with the tab-separated fields of each line of a file in testdata.
func lines(t testing.TB, name string, use func(fields []string)) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		use(strings.Split(s.Text(), "\t"))
	}
}

func number(t testing.TB, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// chiSquareTail is the probability that a chi-square variable of df degrees of freedom is above x: the finite sums that the
// incomplete gamma function is for halves of whole numbers.
func chiSquareTail(x float64, df int) float64 {
	sum, term := 0.0, math.Exp(-x/2)
	k := 0
	if df%2 == 1 {
		sum = math.Erfc(math.Sqrt(x / 2))
		term *= math.Sqrt(x/2) / math.Gamma(1.5)
		k = 1
	}
	for ; k < df; k += 2 {
		sum += term
		term *= x / float64(k+2)
	}
	return sum
}

// independent fails the test when a table of counts is not what its rows and columns, by chance and independent of each other, or by
// the columns' given shares, give: p <= 0.001.
func independent(t *testing.T, what string, table [][]int, columns []float64) {
	t.Helper()
	rows, cols, total := make([]float64, len(table)), make([]float64, len(table[0])), 0.0
	for i := range table {
		for j, n := range table[i] {
			rows[i] += float64(n)
			cols[j] += float64(n)
			total += float64(n)
		}
	}
	df := (len(rows) - 1) * (len(cols) - 1)
	for j := range cols {
		cols[j] /= total
	}
	if columns != nil {
		cols, df = columns, len(rows)*(len(cols)-1)
	}
	x := 0.0
	for i := range table {
		for j, n := range table[i] {
			want := rows[i] * cols[j]
			if want == 0 {
				if n != 0 {
					t.Fatalf("%s: %d of none", what, n)
				}
				continue
			}
			x += (float64(n) - want) * (float64(n) - want) / want
		}
	}
	p := chiSquareTail(x, df)
	t.Logf("%s: chi-square %.2f with %d degrees of freedom, p = %.4f", what, x, df, p)
	if !(p > 0.001) {
		t.Errorf("%s: p = %g", what, p)
	}
}

func table(rows, columns int) [][]int {
	out := make([][]int, rows)
	for i := range out {
		out[i] = make([]int, columns)
	}
	return out
}

func near(got, want, tolerance float64) bool { return cmp.Compare(math.Abs(got-want), tolerance) <= 0 }
