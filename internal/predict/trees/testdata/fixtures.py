"""Trains the small models of testdata/versions, to be run once under each XGBoost:

    python3 -m venv v && v/bin/pip install xgboost==1.0.2 'numpy<1.27' 'scipy<1.12' && v/bin/python fixtures.py versions

It writes versions/<version>/: a .json (and for some a .ubj) for each model, and answers.json with the rows and what this very library
answers to them after reading the file back. The data is made up here; the models are ours.
"""
import json
import os
import sys
import warnings

import numpy as np
import xgboost as xgb

warnings.simplefilter("ignore")
VERSION = tuple(int(n) for n in xgb.__version__.split("."))
folder = os.path.join(sys.argv[1], xgb.__version__)
os.makedirs(folder, exist_ok=True)

rng = np.random.RandomState(5)
X = np.round(rng.normal(size=(120, 4)), 3).astype(np.float32)
X[rng.uniform(size=X.shape) < 0.12] = np.nan
X[:, 3] = rng.randint(0, 40, 120)
S = np.nan_to_num(X[:, 0]) + np.isin(X[:, 3], [1, 5, 7, 33]) + rng.normal(size=120) / 4
ROWS = X[:14].copy()
ROWS[10:, 3] = [-1, 99, 7.5, np.nan]

models = {}


def model(name, params, y, rounds=2, categorical=False, early=False):
    given = {"feature_types": ["q", "q", "q", "c"], "enable_categorical": True} if categorical else {}
    train, rows = xgb.DMatrix(X, label=y, **given), xgb.DMatrix(ROWS, **given)
    kw = {"evals": [(train, "train")], "early_stopping_rounds": 1, "verbose_eval": False} if early else {}
    booster = xgb.train(dict(params, max_depth=2, verbosity=0, seed=1, nthread=1), train, rounds, **kw)
    if early:
        as_the_wrapper_saves(booster, 1, params.get("num_parallel_tree", 1))
    files = [name + ".json"]
    if VERSION >= (1, 6) and name in ("logistic", "softprob", "categorical"):
        files.append(name + ".ubj")
    for f in files:
        booster.save_model(os.path.join(folder, f))
    loaded = xgb.Booster(model_file=os.path.join(folder, files[0]))
    kw = {}
    if early:
        limit = 2 * params.get("num_parallel_tree", 1)
        kw = {"iteration_range": (0, 2)} if VERSION >= (1, 4) else {"ntree_limit": limit}
    models[name] = {
        "files": files,
        "prediction": numbers(loaded.predict(rows, **kw)),
        "margin": numbers(loaded.predict(rows, output_margin=True, **kw)),
    }


def as_the_wrapper_saves(booster, best, parallel):
    """Sets the attributes that the scikit-learn wrapper of this version leaves in a file after early stopping."""
    limit = (best + 1) * parallel
    booster.set_attr(best_iteration=str(best), scikit_learn='{"missing": NaN}')
    if VERSION < (1, 4):
        booster.set_attr(scikit_learn='{"missing": NaN, "best_ntree_limit": %d}' % limit)
    elif VERSION < (2, 0):
        booster.set_attr(best_ntree_limit=str(limit))


def numbers(a):
    """Nested lists of numbers that read back as the same float32; None for a missing value."""
    if isinstance(a, np.ndarray):
        return [numbers(v) for v in a]
    return None if np.isnan(a) else float(np.format_float_positional(np.float32(a), unique=True))


one = (S > 0.4).astype(np.float32)
model("logistic", {"objective": "binary:logistic"}, one)
model("logistic_base", {"objective": "binary:logistic", "base_score": 0.2}, one)
model("logitraw", {"objective": "binary:logitraw", "base_score": 0.7}, one)
model("untrained", {"objective": "binary:logistic"}, one, rounds=0)
model("squared", {"objective": "reg:squarederror" if VERSION >= (0, 90) else "reg:linear"}, S)
model("poisson", {"objective": "count:poisson"}, np.exp(S / 2))
model("softprob", {"objective": "multi:softprob", "num_class": 3}, np.digitize(S, [0, 0.7]).astype(np.float32))
model("dart", {"booster": "dart", "rate_drop": 0.5, "one_drop": 1, "base_score": 0.3}, S, rounds=4)
model("forest", {"num_parallel_tree": 3, "subsample": 0.5, "base_score": 0.3}, S)
model("best", {"objective": "binary:logistic", "eta": 1}, one, rounds=4, early=True)
model("best_forest", {"objective": "binary:logistic", "eta": 1, "num_parallel_tree": 2, "subsample": 0.5}, one, rounds=3, early=True)
if VERSION >= (1, 2):  # 1.0 writes six decimals
    model("unlikely", {"objective": "binary:logistic", "base_score": 1e-8}, one, rounds=1)
if VERSION >= (3, 2):
    model("certain", {"objective": "binary:logistic"}, np.ones_like(one), rounds=1)
if VERSION >= (1, 6):
    model("categorical", {"tree_method": "hist", "max_cat_to_onehot": 1}, S, categorical=True)
    model("onehot", {"tree_method": "hist", "max_cat_to_onehot": 100}, S, categorical=True)
    model("targets", {"tree_method": "hist"}, np.stack([S, -S], axis=1))

with open(os.path.join(folder, "answers.json"), "w") as f:
    json.dump({"version": xgb.__version__, "rows": numbers(ROWS), "models": models}, f, indent=None, separators=(",", ":"))
    f.write("\n")
print(xgb.__version__, len(models), "models")
