"""Trains the model that the benchmarks serve: 370 trees of depth 8 over 56 features, about 10 MB of JSON. The data is random."""
import os
import sys

import numpy as np
import xgboost as xgb

TREES = 370
out = sys.argv[1]
rng = np.random.default_rng(7)
x = rng.normal(size=(20000, 56)).astype(np.float32)
x[rng.random(x.shape) < 0.03] = np.nan
y = (np.nan_to_num(x) @ rng.normal(size=56) + np.nan_to_num(x[:, 0] * x[:, 1]) + rng.normal(size=20000) > 0).astype(int)
params = {"objective": "binary:logistic", "max_depth": 8, "eta": 0.05, "tree_method": "hist", "min_child_weight": 0, "nthread": 2, "seed": 7}
booster = xgb.train(params, xgb.DMatrix(x, label=y), num_boost_round=TREES)
booster.save_model(out)
print(f"xgboost {xgb.__version__}: {TREES} trees, {os.path.getsize(out)} bytes")
