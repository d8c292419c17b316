"""The real XGBoost as an oracle for the Go tests of this package. It works with every XGBoost from 1.7 on.

    oracle.py train DIR SEED                  trains models with random parameters
    oracle.py predict DIR SEED MODEL...       reads models and has them answer random rows
    oracle.py agaricus DIR TRAIN TEST         trains on one libsvm file and answers another

DIR then holds the models and manifest.json: for each model its files, what it was made with, its rows, and the library's answers.
Numbers are float32, little endian, all in numbers.bin; the manifest gives each array's place there and its shape. NaN is a missing
value.
"""
import json
import os
import random
import sys
import warnings

import numpy as np
import xgboost as xgb

warnings.simplefilter("ignore")
xgb.set_config(verbosity=0)
VERSION = tuple(int(n) for n in xgb.__version__.split("."))

SQUARE = ["reg:squarederror", "reg:pseudohubererror", "reg:absoluteerror"]
UNIT = ["reg:logistic", "binary:logistic", "binary:logitraw", "binary:hinge"]
POSITIVE = ["reg:squaredlogerror", "reg:gamma", "reg:tweedie", "count:poisson", "survival:cox", "survival:aft"]
RANK = ["rank:pairwise", "rank:ndcg", "rank:map"]
MULTI = ["multi:softmax", "multi:softprob"]
OBJECTIVES = SQUARE + UNIT + POSITIVE + RANK + MULTI + (["reg:quantileerror"] if VERSION >= (2,) else [])
ROUNDS_OF_OBJECTIVES = 3  # each objective is tried this many times with random parameters, before the special cases


class Writer:
    """Writes numbers.bin and manifest.json."""

    def __init__(self, folder):
        self.folder, self.models, self.at = folder, [], 0
        self.numbers = open(os.path.join(folder, "numbers.bin"), "wb")

    def array(self, values):
        values = np.ascontiguousarray(values, dtype="<f4")
        self.numbers.write(values.tobytes())
        self.at += values.size
        return {"at": self.at - values.size, "shape": list(values.shape)}

    def model(self, name, files, about, objective, rows, answers, magnitude=0):
        self.models.append({
            "name": name, "files": files, "about": about, "objective": objective, "magnitude": magnitude,
            "rows": self.array(rows),
            "answers": [{"iterations": i, **{what: self.array(a) for what, a in of.items()}} for i, of in answers],
        })

    def close(self):
        self.numbers.close()
        with open(os.path.join(self.folder, "manifest.json"), "w") as f:
            json.dump({"version": xgb.__version__, "models": self.models}, f)


class Data:
    """Random rows with labels for an objective. Column j is a category number where types[j] is "c"."""

    def __init__(self, rng, rows, columns, categorical=0, missing=0.0, coarse=False):
        self.rng, self.columns, self.missing = rng, columns, missing
        self.types = ["c"] * categorical + ["q"] * (columns - categorical)
        rng.shuffle(self.types)
        self.sizes = [int(rng.choice([2, 3, 7, 31, 32, 33, 60, 90])) if t == "c" else 0 for t in self.types]
        self.coarse = coarse
        self.x = self.rows(rows)
        values = np.nan_to_num(self.x)
        for j, size in enumerate(self.sizes):
            if size:  # a category's effect has nothing to do with its number
                values[:, j] = rng.normal(size=size)[values[:, j].astype(int)]
        weights = rng.normal(size=columns) * (rng.random(columns) < max(0.3, 4 / columns))
        signal = values @ weights + 0.5 * values[:, 0] * values[:, -1]
        self.signal = signal / (signal.std() + 1e-9) + 0.3 * rng.normal(size=rows)

    def rows(self, n):
        rng = self.rng
        x = rng.normal(size=(n, self.columns)).astype(np.float32)
        if self.coarse:  # few values, so that rows meet thresholds exactly
            x = np.round(x * 2) / 2
        for j, size in enumerate(self.sizes):
            if size:
                x[:, j] = rng.integers(0, size, n)
        x[rng.random(x.shape) < self.missing] = np.nan
        return x

    def questions(self, n):
        """Rows to ask: like the training rows, of them, on thresholds, far out, and with codes no category has."""
        rng = self.rng
        x = self.rows(n)
        x[: n // 4] = self.x[rng.integers(0, len(self.x), n // 4)]
        odd = rng.random(x.shape) < 0.03
        x[odd] = rng.choice(np.float32([0, -0.0, 1e-30, -1e30, 3e38, -3e38, 1e-45, np.nan]), odd.sum())
        for j, size in enumerate(self.sizes):
            if size:
                odd = rng.random(n) < 0.3
                x[odd, j] = rng.choice(np.float32([
                    size, size + 1, size + 31, 32, 64, 1000, 1e6, 2**24, 2**24 - 1, 3e9, 3e38, -1, -2, -0.5, -0.0, -1e30,
                    0.25, 0.999, 1.5, size - 0.5, 2.75, np.nan]), odd.sum())
        x[-1] = np.nan
        x[-2] = 0
        return x

    def matrix(self, x, **rest):
        types = self.types if "c" in self.types else None
        return xgb.DMatrix(x, feature_types=types, enable_categorical=types is not None, nthread=1, **rest)

    def labelled(self, objective, classes=None, targets=1, scale=1):
        s, rng, n = self.signal, self.rng, len(self.signal)
        m = self.matrix(self.x)
        if objective in UNIT:
            label = s > 0 if objective != "reg:logistic" else 1 / (1 + np.exp(-s))
        elif objective in MULTI:
            label = np.argsort(np.argsort(s)) * classes // n
        elif objective in RANK:
            label = np.clip(np.floor(s + 2), 0, 1 if objective == "rank:map" else 4)
            m.set_group([n // 10] * 9 + [n - 9 * (n // 10)])
        elif objective == "count:poisson":
            label = rng.poisson(np.exp(s / 2))
        elif objective == "survival:cox":
            label = np.exp(s) * np.where(rng.random(n) < 0.3, -1, 1)
        elif objective == "survival:aft":
            low = np.exp(s)
            m.set_float_info("label_lower_bound", low)
            m.set_float_info("label_upper_bound", np.where(rng.random(n) < 0.3, np.inf, low * rng.choice([1, 2], n)))
            return m
        elif objective in POSITIVE:
            label = np.exp(s / 2)
        else:
            label = s * scale
        if targets > 1:
            label = np.stack([np.roll(label, i) if objective in UNIT else label * (i + 1) - i for i in range(targets)], axis=1)
        m.set_label(label)
        return m


def answers(booster, matrix, names=()):
    """What the library answers, over all rounds and as named: (option, rounds). A linear function has no leaves, and no version explains
    leaves that are vectors."""
    model = json.loads(booster.save_config())["learner"]
    linear = model["learner_train_param"]["booster"] == "gblinear"
    vectors = model["learner_train_param"].get("multi_strategy") == "multi_output_tree"
    out = []
    for option, rounds in [("", 0), *names]:
        of = {"iteration_range": (0, rounds), "training": False}
        got = {"prediction": booster.predict(matrix, **of), "margin": booster.predict(matrix, output_margin=True, **of)}
        if not linear and booster.num_boosted_rounds():
            leaf = booster.predict(matrix, pred_leaf=True, **of)
            got["leaf"] = leaf.reshape(len(leaf), -1)
        if not vectors:
            got["contributions"] = booster.predict(matrix, pred_contribs=True, **of)
        out.append((option, got))
    return out


def save(booster, folder, name, binary):
    """Saves a model to every kind of file that this version writes, the old binary format if it can hold the model."""
    files = [name + ".json", name + ".ubj"] + [name + ".deprecated"] * (binary and VERSION < (3, 1))
    for f in files:
        path = os.path.join(folder, f)
        booster.save_model(path)
        with open(path, "rb") as saved:
            assert VERSION >= (3, 1) or saved.read() == booster.save_raw(f.split(".")[-1]), f
    return files


class Trainer:
    def __init__(self, writer, seed):
        self.w, self.seed, self.count = writer, seed, 0

    def train(self, objective, rows=150, columns=6, rounds=8, asked=64, missing=0.1, categorical=0, coarse=False, attributes=None,
              early=False, named=False, names=(), targets=1, scale=1, **params):
        """Trains and writes one model. Every model has a seed of its own, so that one can be looked at apart."""
        number = self.count
        self.count += 1
        rng = np.random.default_rng([self.seed, number])
        data = Data(rng, rows, columns, categorical, missing, coarse)
        params = {"objective": objective, "nthread": 1, "seed": number, **params}
        about = json.dumps({"rounds": rounds, "categorical": categorical, "missing": missing, "named": named, "early": early,
                            "attributes": attributes, "targets": targets, "scale": scale, **params}, sort_keys=True)
        matrix = data.labelled(objective, params.get("num_class"), targets, scale)
        if named:
            matrix.feature_names = ["column \u00e9 %d" % j for j in range(columns)]
        name = "m%03d-%s" % (number, objective.replace(":", "-"))
        try:
            extra = {"evals": [(matrix, "train")], "early_stopping_rounds": 2, "verbose_eval": False} if early else {}
            booster = xgb.train(params, matrix, rounds, **extra)
        except (xgb.core.XGBoostError, ValueError) as e:
            raise SystemExit("%s, %s: %s" % (name, about, e)) from e
        if attributes:
            booster.set_attr(**attributes)
        files = save(booster, self.w.folder, name, binary=not categorical and "multi_strategy" not in params)
        asked_rows = data.questions(asked)
        question = data.matrix(asked_rows)
        question.feature_names = matrix.feature_names
        names = list(names)
        if early:
            best = int(booster.attr("best_iteration")) + 1
            names += [("best", best), ("all", 0)] + ([("auto", 0)] if "scikit_learn" not in (attributes or {}) else [("auto", best)])
        got = answers(booster, question, names)
        if early and attributes and "scikit_learn" in attributes:  # without an option the best iteration is meant
            got[0] = ("", dict(got)["best"])
        self.w.model(name, files, about, objective, asked_rows, got, magnitude(objective, params.get("base_score")))


def magnitude(objective, base_score):
    """How large the margin is that a base score becomes."""
    if base_score is None:
        return 0
    if objective in ["reg:logistic", "binary:logistic"]:
        return abs(np.log(base_score / (1 - base_score)))
    return abs(np.log(base_score) if objective in POSITIVE else base_score)


def pick(rng, *choices):
    return choices[rng.randrange(len(choices))]


def log_uniform(rng, low, high):
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def random_params(rng, objective):
    """Parameters of every kind, such that the library takes them."""
    method = pick(rng, "exact", "approx", "hist")
    p = {"tree_method": method, "max_depth": rng.randint(1, 10), "eta": log_uniform(rng, 0.02, 1), "rounds": rng.randint(1, 25),
         "missing": pick(rng, 0.0, 0.0, 0.1, 0.5), "coarse": rng.random() < 0.4, "named": rng.random() < 0.3,
         "columns": rng.randint(1, 14), "rows": rng.randint(40, 300), "min_child_weight": pick(rng, 0, 0.1, 1)}
    for name, chance, value in [
            ("lambda", 0.4, log_uniform(rng, 1e-3, 10)), ("alpha", 0.3, log_uniform(rng, 1e-3, 1)), ("gamma", 0.2, log_uniform(rng, 1e-3, 1)),
            ("colsample_bytree", 0.3, 0.6), ("colsample_bylevel", 0.2, 0.6), ("subsample", 0.3, 0.7), ("max_delta_step", 0.2, 0.7)]:
        if rng.random() < chance:
            p[name] = value
    if rng.random() < 0.3:
        p.update(num_parallel_tree=rng.randint(2, 4), subsample=0.6, rounds=rng.randint(1, 6))
    if rng.random() < 0.35:
        p.update(booster="dart", rate_drop=rng.random() * 0.6, skip_drop=pick(rng, 0.0, 0.3), sample_type=pick(rng, "uniform", "weighted"),
                 normalize_type=pick(rng, "tree", "forest"), one_drop=pick(rng, 0, 1))
    if method != "exact" and rng.random() < 0.4:
        p.update(grow_policy="lossguide", max_leaves=rng.randint(2, 40), max_depth=pick(rng, 0, 6))
    if method != "exact" and rng.random() < 0.5:
        p.update(categorical=rng.randint(1, p["columns"]), max_cat_to_onehot=pick(rng, 1, 4, 100))
    elif rng.random() < 0.25:
        p["monotone_constraints"] = "(" + ",".join(str(rng.randint(-1, 1)) for _ in range(p["columns"])) + ")"
    if rng.random() < 0.5:
        p["base_score"] = base_score(rng, objective)
    if p["rounds"] > 2 and rng.random() < 0.5:
        n = rng.randint(1, p["rounds"])
        p["names"] = [(str(n), n)]
    if objective in MULTI:
        p["num_class"] = rng.randint(2, 6)
        p["rounds"] = min(p["rounds"], 8)
        p.pop("names", None)
    if objective == "reg:tweedie":
        p["tweedie_variance_power"] = pick(rng, 1.1, 1.5, 1.9)
    if objective == "survival:aft":
        p.update(aft_loss_distribution=pick(rng, "normal", "logistic", "extreme"), aft_loss_distribution_scale=pick(rng, 0.5, 1.2))
    if objective == "reg:quantileerror":
        p["quantile_alpha"] = pick(rng, 0.3, [0.1, 0.5, 0.9])
    if objective == "binary:logistic" and rng.random() < 0.5:
        p["scale_pos_weight"] = 3
    if objective in SQUARE:
        p["scale"] = pick(rng, 1, 1000, 1e-3)
    return p


def base_score(rng, objective):
    if objective in UNIT:
        return log_uniform(rng, 0.001, 0.999)
    if objective in SQUARE:
        return pick(rng, 0, -1, 1) * log_uniform(rng, 0.01, 1000)
    return log_uniform(rng, 0.01, 10)


def special(t):
    """Cases that random parameters seldom or never meet."""
    modern = VERSION >= (2,)
    wrapper = {"scikit_learn": '{"estimator_type":"regressor"}'}
    for objective in ["reg:squarederror", "binary:logistic", "binary:hinge", "multi:softprob", "count:poisson"]:  # no trees
        classes = {"num_class": 3} if objective in MULTI else {}
        t.train(objective, rounds=0, **classes)
        t.train(objective, rounds=0, base_score=0.3, **classes)
        t.train(objective, rounds=3, max_depth=6, gamma=1e6, **classes)  # a leaf a tree
    t.train("binary:logistic", columns=400, rows=100, rounds=10, colsample_bytree=0.3)
    t.train("reg:squarederror", columns=250, rows=120, rounds=10, categorical=200, tree_method="hist", colsample_bytree=0.3)
    t.train("multi:softmax", columns=200, rows=200, rounds=5, num_class=12, missing=0.8)
    t.train("reg:squarederror", columns=1, rounds=30, max_depth=10, rows=400)
    for booster in ["gbtree", "dart"]:  # early stopping: raw, and as the scikit-learn wrapper marks it
        drop = {"booster": "dart", "rate_drop": 0.3} if booster == "dart" else {}
        for attributes in [None, wrapper]:
            t.train("reg:squarederror", rounds=40, eta=1.0, max_depth=3, early=True, attributes=attributes, rows=60, eval_metric="mae", **drop)
            t.train("multi:softprob", rounds=40, eta=1.0, max_depth=3, early=True, attributes=attributes, num_class=3, rows=60,
                    num_parallel_tree=2, subsample=0.6, **drop)
    t.train("binary:logistic", attributes=wrapper)  # the wrapper without a best iteration: all
    t.train("binary:logistic", attributes={"best_iteration": "2"})  # a best iteration without the wrapper: all
    for method in ["exact", "approx", "hist"]:
        t.train("reg:squarederror", targets=3, tree_method=method, names=[("3", 3)])
    t.train("reg:squarederror", targets=2, tree_method="hist", booster="dart", rate_drop=0.5, num_parallel_tree=2, subsample=0.6, names=[("5", 5)])
    t.train("binary:logistic", targets=3, tree_method="hist", categorical=3)
    t.train("multi:softprob", num_class=4, tree_method="hist", categorical=3, max_cat_to_onehot=1, names=[("2", 2)])
    t.train("multi:softprob", num_class=4, booster="dart", rate_drop=0.5, names=[("2", 2)], rounds=10)
    t.train("reg:squarederror", booster="dart", rate_drop=0.5, rounds=60, base_score=1e6)  # a large base over small leaves
    t.train("reg:squarederror", rounds=60, base_score=1e6)
    t.train("binary:logistic", rounds=60, eta=1.0, max_depth=8, rows=400, reg_lambda=0, min_child_weight=0)  # margins far out
    t.train("multi:softprob", rounds=60, eta=1.0, max_depth=6, rows=200, reg_lambda=0, min_child_weight=0, num_class=3)
    t.train("count:poisson", rounds=30, eta=1.0, max_delta_step=20, rows=200)
    t.train("reg:squarederror", process_type="default", interaction_constraints="[[0,1],[2,3,4]]")
    t.train("rank:pairwise", booster="dart", rate_drop=0.4, rounds=20)
    t.train("survival:aft", categorical=4, tree_method="hist", max_cat_to_onehot=1)
    if modern:
        t.train("reg:absoluteerror", targets=2, tree_method="hist")
        t.train("reg:quantileerror", quantile_alpha=[0.05, 0.25, 0.5, 0.95], tree_method="hist", names=[("4", 4)])
        t.train("reg:quantileerror", quantile_alpha=[0.2, 0.8], tree_method="hist", booster="dart", rate_drop=0.5)
        for objective in ["reg:squarederror", "binary:logistic", "reg:absoluteerror"]:
            for k, rounds in [(2, 1), (3, 6), (5, 12)]:
                vectors(t, objective, targets=k, rounds=rounds, max_depth=k + 1, num_parallel_tree=1 + (k == 3), subsample=0.8)
        vectors(t, "multi:softprob", num_class=4, rounds=6, names=[("3", 3)])
        vectors(t, "multi:softmax", num_class=3, rounds=4)
        vectors(t, "reg:squarederror", targets=2, rounds=4, missing=0.7, grow_policy="lossguide", max_leaves=12)
        vectors(t, "reg:squarederror", targets=2, rounds=3, gamma=1e6)  # a leaf a tree
        vectors(t, "reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9], rounds=5)
        vectors(t, "reg:squarederror", targets=3, rounds=30, early=True, eta=1.0, rows=60, attributes=wrapper)
    for objective in ["reg:squarederror", "binary:logistic", "reg:logistic", "binary:logitraw", "count:poisson", "reg:gamma", "reg:tweedie",
                      "rank:pairwise", "reg:absoluteerror"]:
        for missing in [0.0, 0.4]:
            t.train(objective, booster="gblinear", rounds=5, missing=missing, base_score=0.3, updater="coord_descent")
    for classes in [2, 5]:
        for objective in MULTI:
            t.train(objective, booster="gblinear", num_class=classes, rounds=4, columns=9, updater="coord_descent")
    t.train("reg:squarederror", booster="gblinear", targets=3, rounds=4, updater="coord_descent")
    t.train("reg:squarederror", booster="gblinear", rounds=20, columns=60, scale=1000, updater="coord_descent", named=True)
    t.train("binary:logistic", booster="gblinear", rounds=0)
    t.train("binary:logistic", booster="gblinear", updater="coord_descent", attributes={"best_iteration": "2", **wrapper})  # all the same


def vectors(t, objective, **params):
    """Trees whose leaves hold a value for each output."""
    t.train(objective, multi_strategy="multi_output_tree", tree_method="hist", **params)


def train(folder, seed):
    w = Writer(folder)
    t = Trainer(w, seed)
    for i in range(ROUNDS_OF_OBJECTIVES):
        for j, objective in enumerate(OBJECTIVES):
            t.train(objective, **random_params(random.Random("%d %d %d" % (seed, i, j)), objective))
    special(t)
    w.close()


def predict(folder, seed, paths):
    w = Writer(folder)
    for i, path in enumerate(paths):
        booster = xgb.Booster(model_file=path)
        rng = np.random.default_rng([seed, i])
        columns = booster.num_features()
        learner = json.loads(booster.save_config())["learner"]
        x = np.where(rng.random((500, columns)) < 0.5, rng.integers(0, 3, (500, columns)), 6 * rng.random((500, columns)) - 1)
        x[rng.random(x.shape) < 0.1] = np.nan
        x = x.astype(np.float32)
        w.model(os.path.basename(path), [path], "", learner["objective"]["name"], x, answers(booster, xgb.DMatrix(x)))
    w.close()


def agaricus(folder, train_file, test_file):
    w = Writer(folder)
    train_data, test_data = (read_libsvm(f, 127) for f in (train_file, test_file))
    for name, params in [("gbtree", {}), ("dart", {"booster": "dart", "rate_drop": 0.2})]:
        params = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "nthread": 1, **params}
        booster = xgb.train(params, xgb.DMatrix(train_data[1], train_data[0]), 10)
        files = save(booster, folder, name, binary=True)
        w.model(name, files, json.dumps(params), "binary:logistic", test_data[1], answers(booster, xgb.DMatrix(test_data[1])))
    w.close()


def read_libsvm(path, columns):
    """What XGBoost's own reader gives, without its warnings about being old: absent is missing."""
    labels, rows = [], []
    with open(path) as f:
        for line in f:
            label, *cells = line.split()
            row = np.full(columns, np.nan, np.float32)
            for cell in cells:
                index, value = cell.split(":")
                row[int(index)] = float(value)
            labels.append(float(label))
            rows.append(row)
    return np.array(labels), np.array(rows)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "predict":
        predict(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    elif sys.argv[1] == "agaricus":
        agaricus(*sys.argv[2:5])
    else:
        raise SystemExit(__doc__)
