"""Trains the small models of testdata/versions, to be run once under each XGBoost:

    python3 -m venv v && v/bin/pip install xgboost==1.0.2 'numpy<1.27' 'scipy<1.12' && v/bin/python fixtures.py versions

It writes versions/<version>/: for each model a .json (since 1.0), a .ubj, a .deprecated in the old binary format (up to 3.0), or several of
them, and answers.json with the rows and what this very library answers to them after reading the files back. The data is made up here;
the models are ours. 0.82 and 0.90 need setuptools<70 as well.
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

IN_UBJSON = ["logistic", "softprob", "categorical", "linear", "vectors"]
IN_BINARY = ["logistic_base", "logitraw", "squared", "hinge", "untrained", "poisson", "softprob", "dart", "best", "best_forest", "pruned",
             "linear", "linear_classes"]
# The old binary format did not change between these; 3.1 gave it up.
BINARY = VERSION[:2] in [(0, 82), (0, 90), (1, 0), (1, 3), (1, 7), (2, 1), (3, 0)]


def files_of(name):
    files = [name + ".json"] * (VERSION >= (1,) and name not in ["hinge", "pruned"])
    files += [name + ".ubj"] * (VERSION >= (1, 6) and name in IN_UBJSON)
    return files + [name + ".deprecated"] * (BINARY and name in IN_BINARY)


def model(name, params, y, rounds=2, categorical=False, early=False):
    given = {"feature_types": ["q", "q", "q", "c"], "enable_categorical": True} if categorical else {}
    train, rows = xgb.DMatrix(X, label=y, **given), xgb.DMatrix(ROWS, **given)
    kw = {"evals": [(train, "train")], "early_stopping_rounds": 1, "verbose_eval": False} if early else {}
    booster = xgb.train(dict({"max_depth": 2}, verbosity=0, seed=1, nthread=1, **params), train, rounds, **kw)
    if early:
        as_the_wrapper_saves(booster, 1, params.get("num_parallel_tree", 1))
    kw = {}
    if early:
        kw = {"iteration_range": (0, 2)} if VERSION >= (1, 4) else {"ntree_limit": 2 * params.get("num_parallel_tree", 1)}
    if name == "dart" and VERSION < (1,):
        kw = {"ntree_limit": rounds}  # without it 0.90 drops trees at random, even to predict
    for f in files_of(name):
        booster.save_model(os.path.join(folder, f))
        loaded = xgb.Booster(model_file=os.path.join(folder, f))
        got = {
            "prediction": numbers(loaded.predict(rows, **kw)),
            "margin": numbers(loaded.predict(rows, output_margin=True, **kw)),
        }
        if name in ("pruned", "vectors"):
            got["leaf"] = numbers(loaded.predict(rows, pred_leaf=True))
        if name in ("pruned", "linear"):
            got["contributions"] = numbers(loaded.predict(rows, pred_contribs=True))
        same = models.setdefault(name, dict(files=[], **got))
        if any(same[k] != got[k] for k in got):
            print("the library answers otherwise after reading", f)
            same = models.setdefault(name + " as " + f, dict(files=[], **got))
        same["files"].append(f)


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
if BINARY:
    model("hinge", {"objective": "binary:hinge", "base_score": 0.2}, one)
    model("pruned", {"tree_method": "exact", "max_depth": 4, "gamma": 2}, S)
if BINARY or VERSION >= (3, 2):
    model("linear", {"booster": "gblinear", "base_score": 0.3, "objective": "binary:logistic"}, one)
    model("linear_classes", {"booster": "gblinear", "objective": "multi:softprob", "num_class": 3}, np.digitize(S, [0, 0.7]).astype(np.float32))
if VERSION[:2] in [(2, 0), (3, 1), (3, 2)]:
    model("vectors", {"tree_method": "hist", "multi_strategy": "multi_output_tree"}, np.stack([S, -S], axis=1))
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
