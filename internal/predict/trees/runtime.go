package trees

import (
	"bytes"
	"context"
	"math"
	"strconv"

	"github.com/serin-ml/serin/internal/fault"
	"github.com/serin-ml/serin/internal/predict"
	"github.com/serin-ml/serin/internal/tensor"
)

// Runtime opens XGBoost models.
type Runtime struct{}

func looks(data []byte) bool {
	return len(data) > 1 && data[0] == '{' && bytes.Contains(data[:min(len(data), 4096)], []byte("learner"))
}

func (Runtime) Detect(a predict.Artefact) bool {
	for _, f := range a.Files() {
		if d, err := a.ReadFile(f); err == nil && looks(d) {
			return true
		}
	}
	return false
}

func (Runtime) Open(ctx context.Context, a predict.Artefact, o predict.Options) (predict.Model, error) {
	for _, name := range a.Files() {
		d, err := a.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if !looks(d) {
			continue
		}
		return open(d, o)
	}
	return nil, fault.Invalidf("no XGBoost model")
}

type model struct {
	f         forest[float32]
	sig       tensor.Signature
	transform func(row []float32)
	wide      bool
	argmax    bool
}

func open(data []byte, o predict.Options) (*model, error) {
	x, err := decodeXGBoost(data)
	if err != nil {
		return nil, err
	}
	if x.booster != "gbtree" && x.booster != "dart" {
		return nil, fault.Invalidf("booster %q is not supported", x.booster)
	}
	if int64(x.b.maxF) > x.numFeature || x.numFeature <= 0 || x.numFeature > 1<<24 {
		return nil, fault.Invalidf("num_feature")
	}
	k := int(max(x.numClass, x.numTarget, 1))
	m := &model{f: x.b.f}
	m.f.features = int(x.numFeature)
	if len(x.treeInfo) != len(m.f.roots) {
		return nil, fault.Invalidf("tree_info")
	}
	for _, g := range x.treeInfo {
		if g < 0 || int(g) >= k {
			return nil, fault.Invalidf("tree_info")
		}
		m.f.groups = append(m.f.groups, uint32(g))
	}
	if x.booster == "dart" {
		for t, w := range x.weightDrop {
			end := uint32(len(m.f.nodes))
			if t+1 < len(m.f.roots) {
				end = m.f.roots[t+1]
			}
			for i := m.f.roots[t]; i < end; i++ {
				if m.f.nodes[i].slot == 0 {
					m.f.nodes[i].split *= w
				}
			}
		}
	}
	rounds := -1
	it := o["iterations"]
	if _, sk := x.attributes["scikit_learn"]; it == "best" || (it == "" || it == "auto") && sk {
		if b, err := strconv.Atoi(x.attributes["best_iteration"]); err == nil {
			rounds = b + 1
		}
	} else if n, err := strconv.Atoi(it); err == nil {
		rounds = n
	}
	if rounds >= 0 {
		n := rounds * int(x.parallel) * k
		if n < len(m.f.roots) {
			m.f.roots, m.f.groups, m.f.plain = m.f.roots[:n], m.f.groups[:n], m.f.plain[:n]
		}
	}
	if m.f.base, err = parseBase(x.baseScore, k); err != nil {
		return nil, err
	}
	id := func([]float32) {}
	each := func(f func(float32) float32) func([]float32) {
		return func(r []float32) {
			for i, v := range r {
				r[i] = f(v)
			}
		}
	}
	logit := func(p float32) float32 { return -float32(math.Log(float64(1/p - 1))) }
	log := func(p float32) float32 { return float32(math.Log(float64(p))) }
	exp := each(func(v float32) float32 { return float32(math.Exp(float64(v))) })
	m.transform = id
	inv := func(v float32) float32 { return v }
	m.wide = k > 1
	switch x.objective {
	case "binary:logistic", "reg:logistic":
		inv = logit
		m.transform = each(func(v float32) float32 {
			return 1 / (1 + float32(math.Exp(float64(min(-v, 88.7)))) + 1e-16)
		})
	case "binary:logitraw":
		inv = logit
	case "binary:hinge":
		m.transform = each(func(v float32) float32 {
			if v > 0 {
				return 1
			}
			return 0
		})
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft":
		inv, m.transform = log, exp
	case "multi:softprob":
		m.transform = func(r []float32) {
			mx := r[0]
			for _, v := range r {
				mx = max(mx, v)
			}
			var sum float64
			for i, v := range r {
				r[i] = float32(math.Exp(float64(v - mx)))
				sum += float64(r[i])
			}
			for i := range r {
				r[i] /= float32(sum)
			}
		}
	case "multi:softmax":
		m.argmax = true
	}
	for i := range m.f.base {
		m.f.base[i] = inv(m.f.base[i])
	}
	shape := []int{-1}
	if m.wide {
		shape = []int{-1, k}
	}
	pshape := shape
	if m.argmax {
		pshape = []int{-1}
	}
	m.sig = tensor.Signature{
		Inputs:  []tensor.Spec{{Name: "input", DType: tensor.Float32, Shape: []int{-1, m.f.features}, Columns: x.featureNames}},
		Outputs: []tensor.Spec{{Name: "prediction", DType: tensor.Float32, Shape: pshape}, {Name: "margin", DType: tensor.Float32, Shape: shape, OnDemand: true}},
	}
	return m, nil
}

func (m *model) Signature() tensor.Signature { return m.sig }

func (m *model) Predict(ctx context.Context, r *tensor.Request) (*tensor.Response, error) {
	x, err := r.Inputs[0].Float32s()
	if err != nil {
		return nil, err
	}
	n, k := r.Inputs[0].Rows(), m.f.outputs()
	margin := make([]float32, n*k)
	img := make([]float32, m.f.imageLen())
	for i := range n {
		copy(margin[i*k:], m.f.base)
		if c := m.f.image(img, x[i*m.f.features:(i+1)*m.f.features]); c >= 0 {
			return nil, fault.Invalidf("row %d, column %d is infinite", i, c)
		}
		m.f.addOne(img, margin[i*k:(i+1)*k])
	}
	resp := &tensor.Response{}
	shape := []int{n}
	if m.wide {
		shape = []int{n, k}
	}
	for _, name := range m.sig.Wanted(r) {
		if name == "margin" {
			resp.Outputs = append(resp.Outputs, tensor.New("margin", shape, margin))
			continue
		}
		if m.argmax {
			out := make([]float32, n)
			for i := range n {
				for c := 1; c < k; c++ {
					if margin[i*k+c] > margin[i*k+int(out[i])] {
						out[i] = float32(c)
					}
				}
			}
			resp.Outputs = append(resp.Outputs, tensor.New("prediction", []int{n}, out))
			continue
		}
		out := append([]float32{}, margin...)
		for i := range n {
			m.transform(out[i*k : (i+1)*k])
		}
		resp.Outputs = append(resp.Outputs, tensor.New("prediction", shape, out))
	}
	return resp, nil
}
