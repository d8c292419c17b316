package main

import "fmt"

// xgboost is libxgboost with one booster, called as its fastest users call it: what can be prepared before a call is.
type xgboost struct {
	*native
	create, free, set, load, dense, matrix, newMatrix, newProxy uintptr // functions

	booster          uintptr
	each             []uintptr // the array interface of each row
	whole            uintptr   // and that of all rows
	proxy            uintptr   // what a call makes anew unless it is given one
	prepared         uintptr   // all rows as a DMatrix
	predict, explain uintptr   // configurations of a call

	shape, dim uint64
	result     *float32 // in the library's memory, until the next call
}

func newXGBoost(path string, rows []float32) (*xgboost, error) {
	lib, err := openNative("xgboost", "libxgboost.so", "VERSION", "XGBGetLastError")
	if err != nil {
		return nil, err
	}
	const config = `{"type":%d,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false,"cache_id":0,"missing":NaN}`
	x := &xgboost{native: lib, predict: lib.cString(fmt.Sprintf(config, 0)), explain: lib.cString(fmt.Sprintf(config, 2))}
	lib.keep(x, rows)
	err = lib.bind(map[string]*uintptr{
		"XGBoosterCreate": &x.create, "XGBoosterFree": &x.free, "XGBoosterSetParam": &x.set, "XGBoosterLoadModel": &x.load,
		"XGBoosterPredictFromDense": &x.dense, "XGBoosterPredictFromDMatrix": &x.matrix, "XGDMatrixCreateFromDense": &x.newMatrix,
		"XGProxyDMatrixCreate": &x.newProxy,
	})
	if err != nil {
		return nil, err
	}
	of := func(row, rowCount int) uintptr { // rows as numpy's array interface describes them
		return lib.cString(fmt.Sprintf(`{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}`, address(&rows[row*features]), rowCount, features))
	}
	for i := range len(rows) / features {
		x.each = append(x.each, of(i, 1))
	}
	x.whole = of(0, len(x.each))
	if err := x.open(lib.cString(path)); err != nil {
		return nil, err
	}
	if err := x.call(x.set, x.booster, lib.cString("nthread"), lib.cString("1")); err != nil {
		return nil, err
	}
	if err := x.call(x.newProxy, address(&x.proxy)); err != nil {
		return nil, err
	}
	return x, x.call(x.newMatrix, x.whole, lib.cString(`{"missing":NaN,"nthread":1}`), address(&x.prepared))
}

// open reads a model into a new booster, with as many threads as the library likes.
func (x *xgboost) open(path uintptr) error {
	if err := x.call(x.create, 0, 0, address(&x.booster)); err != nil {
		return err
	}
	return x.call(x.load, x.booster, path)
}

func (x *xgboost) close() error { return x.call(x.free, x.booster) }

func (x *xgboost) one(row int) (float32, error) {
	if err := x.call(x.dense, x.booster, x.each[row], x.predict, x.proxy, address(&x.shape), address(&x.dim), address(&x.result)); err != nil {
		return 0, err
	}
	return *x.result, nil
}

func (x *xgboost) all() ([]float32, error) {
	if err := x.call(x.dense, x.booster, x.whole, x.predict, x.proxy, address(&x.shape), address(&x.dim), address(&x.result)); err != nil {
		return nil, err
	}
	return foreign(x.result, len(x.each)), nil
}

// contributions explains all rows: for each its features' contributions and the bias.
func (x *xgboost) contributions() ([]float32, error) {
	if err := x.call(x.matrix, x.booster, x.prepared, x.explain, address(&x.shape), address(&x.dim), address(&x.result)); err != nil {
		return nil, err
	}
	return foreign(x.result, len(x.each)*(features+1)), nil
}
