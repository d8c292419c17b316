package main

// lightGBM is lib_lightgbm with one booster, called as its fastest users call it.
type lightGBM struct {
	*native
	create, init, fast, matrix uintptr // functions

	booster, config, oneThread uintptr
	rows, out                  []float64
	rounds                     int32
	written                    int64
}

// Words of LightGBM's c_api.h.
const (
	lgbmFloat64  = 1
	lgbmNormal   = 0 // what to predict: the prediction
	lgbmRowMajor = 1
	lgbmAll      = ^uintptr(0) // -1: all rounds
)

func newLightGBM(path string, rows []float64) (*lightGBM, error) {
	lib, err := openNative("lightgbm", "lib_lightgbm.so", "VERSION.txt", "LGBM_GetLastError")
	if err != nil {
		return nil, err
	}
	l := &lightGBM{native: lib, rows: rows, out: make([]float64, len(rows)/features), oneThread: lib.cString("num_threads=1")}
	lib.keep(l)
	err = lib.bind(map[string]*uintptr{
		"LGBM_BoosterCreateFromModelfile": &l.create, "LGBM_BoosterPredictForMatSingleRowFastInit": &l.init,
		"LGBM_BoosterPredictForMatSingleRowFast": &l.fast, "LGBM_BoosterPredictForMat": &l.matrix,
	})
	if err != nil {
		return nil, err
	}
	if err := l.call(l.create, lib.cString(path), address(&l.rounds), address(&l.booster)); err != nil {
		return nil, err
	}
	return l, l.call(l.init, l.booster, lgbmNormal, 0, lgbmAll, lgbmFloat64, features, l.oneThread, address(&l.config))
}

func (l *lightGBM) one(row int) (float64, error) {
	err := l.call(l.fast, l.config, address(&l.rows[row*features]), address(&l.written), address(&l.out[0]))
	return l.out[0], err
}

func (l *lightGBM) all() ([]float64, error) {
	err := l.call(l.matrix, l.booster, address(&l.rows[0]), lgbmFloat64, uintptr(len(l.out)), features, lgbmRowMajor,
		lgbmNormal, 0, lgbmAll, l.oneThread, address(&l.written), address(&l.out[0]))
	return l.out, err
}
