"""Trains a model for the benchmarks, over 56 features of which 3 percent are missing. The data is random, with a signal to learn.

usage: model.py KIND MODEL, where KIND is one of
    served    XGBoost, 370 trees of depth 8: about 10 MB of JSON
    xgboost   XGBoost, 500 trees of depth 6
    lightgbm  LightGBM, 500 trees of 63 leaves
Beside the model it writes MODEL.rows, which tells that all is there: 1,000 rows that were not trained on, little-endian float32 (LightGBM:
float64), row by row.
"""
import os
import sys

import numpy as np

kind, out = sys.argv[1:]
number = np.float64 if kind == "lightgbm" else np.float32
rng = np.random.default_rng(7)


def draw(rows):
    x = rng.normal(size=(rows, 56)).astype(number)
    x[rng.random(x.shape) < 0.03] = np.nan
    return x


x = draw(20000)
y = (np.nan_to_num(x) @ rng.normal(size=56) + np.nan_to_num(x[:, 0] * x[:, 1]) + rng.normal(size=20000) > 0).astype(int)
if kind == "lightgbm":
    import lightgbm as lgb

    trees = 500
    params = {"objective": "binary", "num_leaves": 63, "learning_rate": 0.05, "num_threads": 2, "seed": 7, "verbose": -1}
    booster = lgb.train(params, lgb.Dataset(x, y), trees)
    leaves = sorted({t["num_leaves"] for t in booster.dump_model()["tree_info"]})
    assert booster.num_trees() == trees and leaves == [63], f"{booster.num_trees()} trees of {leaves} leaves"
    version = lgb.__version__
else:
    import xgboost as xgb

    trees, depth = {"served": (370, 8), "xgboost": (500, 6)}[kind]
    params = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.05, "tree_method": "hist", "min_child_weight": 0, "nthread": 2, "seed": 7}
    booster = xgb.train(params, xgb.DMatrix(x, label=y), trees)
    assert booster.num_boosted_rounds() == trees
    version = xgb.__version__
booster.save_model(out)
draw(1000).tofile(out + ".rows")
print(f"{kind} {version}: {trees} trees, {os.path.getsize(out)} bytes")
