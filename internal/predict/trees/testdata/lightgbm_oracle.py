"""The real LightGBM as an oracle for the Go tests of this package.

    lightgbm_oracle.py train DIR SEED       trains models with random parameters
    lightgbm_oracle.py predict DIR SEED MODEL...  reads models and has them answer random rows

DIR then holds the models (text, and what dump_model gives as JSON) and manifest.json: for each model its files, what it was made with,
its rows, and the library's answers. Numbers are float64, little endian, all in numbers.bin; the manifest gives each array's place there
and its shape. The script itself checks that the library takes an entry absent from a sparse row for 0.
"""
import json
import os
import random
import sys
import tempfile
import warnings

import lightgbm as lgb
import numpy as np
import scipy.sparse

warnings.simplefilter("ignore")

REGRESSION = ["regression", "regression_l1", "huber", "fair", "quantile", "mape"]
POSITIVE = ["poisson", "gamma", "tweedie"]
UNIT = ["binary", "cross_entropy", "cross_entropy_lambda"]
RANK = ["lambdarank", "rank_xendcg"]
MULTI = ["multiclass", "multiclassova"]
OBJECTIVES = REGRESSION + POSITIVE + UNIT + RANK + MULTI + ["custom"]
ROUNDS_OF_OBJECTIVES = 7  # each objective is tried this many times with random parameters, before the special cases

# Values that lie where rules meet: zero's bounds (float32's 1e-35), the ends of the numbers, and what is none.
ODD = [0.0, -0.0, 1e-35, -1e-35, float(np.float32(1e-35)), float(-np.float32(1e-35)), np.nextafter(float(np.float32(1e-35)), 1), 1e-40,
       5e-324, 1e300, -1e300, 1.7976931348623157e308, np.inf, -np.inf, np.nan]


class Writer:
    """Writes numbers.bin and manifest.json."""

    def __init__(self, folder):
        self.folder, self.models, self.at = folder, [], 0
        self.numbers = open(os.path.join(folder, "numbers.bin"), "wb")

    def array(self, values):
        if values is None:
            return None
        values = np.ascontiguousarray(values, dtype="<f8")
        self.numbers.write(values.tobytes())
        self.at += values.size
        return {"at": self.at - values.size, "shape": list(values.shape)}

    def model(self, name, files, about, objective, rows, answers):
        self.models.append({
            "name": name, "files": files, "about": about, "objective": objective, "rows": self.array(rows),
            "answers": [{"iterations": i, "prediction": self.array(p), "margin": self.array(m), "leaf": self.array(leaf),
                         "contributions": self.array(c)} for i, p, m, leaf, c in answers],
        })

    def close(self):
        self.numbers.close()
        with open(os.path.join(self.folder, "manifest.json"), "w") as f:
            json.dump({"version": lgb.__version__, "models": self.models}, f)


def answers(booster, rows, iterations):
    """The library's answers over all rounds and over each number of the first ones."""
    out = []
    k = booster.num_model_per_iteration()
    for option in ["", *(i for i in iterations if int(i) <= booster.current_iteration())]:  # training may have stopped before
        of = {"num_iteration": int(option) if option else None}
        contributions = None
        try:
            contributions = booster.predict(rows, pred_contrib=True, **of)
            if k > 1:
                contributions = contributions.reshape(len(rows), k, -1)
        except lgb.basic.LightGBMError as e:
            if "not implemented for linear trees" not in str(e):
                raise
        out.append((option, booster.predict(rows, **of), booster.predict(rows, raw_score=True, **of),
                    booster.predict(rows, pred_leaf=True, **of).reshape(len(rows), -1), contributions))
    return out


def check_absent(booster, rows):
    """Has the library answer rows of which much is absent, from a sparse matrix and from a libsvm file, and checks that absent is 0.

    What is stored there but within 1e-35 of 0 stays what it is, while the library takes it for 0 in a dense row; here it is put to 0."""
    rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.5, rows, 0.0)
    rows[np.abs(rows) < 2e-35] = 0
    want = booster.predict(rows)
    sparse = scipy.sparse.csr_matrix(rows)
    if not np.array_equal(want, booster.predict(sparse), equal_nan=True):
        raise SystemExit("an absent entry of a sparse matrix is not 0")
    if rows.shape[1] < 2:
        return  # the library knows no libsvm file of one column
    rows = np.where(np.abs(rows) < 1e100, rows, 1.0)  # its own reader of numbers is not exact at the ends
    want = booster.predict(rows)
    with tempfile.NamedTemporaryFile("w", suffix=".svm") as f:
        for row in rows:
            f.write("0 " + " ".join("%d:%r" % (i, float(v)) for i, v in enumerate(row) if v != 0 or i == len(row) - 1) + "\n")
        f.flush()
        got = booster.predict(f.name, predict_disable_shape_check=True, precise_float_parser=True)
    if not np.allclose(want, got, rtol=1e-9, atol=1e-12):
        raise SystemExit("an absent entry of a libsvm file is not 0")


class Data:
    """Random rows with labels for an objective. Column j holds categories where sizes[j] is not 0."""

    def __init__(self, rng, rows, columns, categorical=0, missing=0.0, coarse=False, zeroes=0.0, wide=False):
        self.rng, self.columns, self.missing, self.coarse, self.zeroes, self.wide = rng, columns, missing, coarse, zeroes, wide
        self.sizes = [int(rng.choice([2, 3, 7, 31, 32, 33, 60, 90])) if j < categorical else 0 for j in range(columns)]
        rng.shuffle(self.sizes)
        self.x = self.rows(rows)
        values = np.nan_to_num(self.x)
        for j, size in enumerate(self.sizes):
            if size:  # a category's effect has nothing to do with its number
                values[:, j] = rng.normal(size=size)[values[:, j].astype(int)]
        weights = rng.normal(size=columns) * (rng.random(columns) < max(0.3, 4 / columns))
        values = np.clip(values, -3, 3)
        signal = values @ weights + 0.5 * values[:, 0] * values[:, -1] + 1e-3 * rng.normal(size=rows)
        self.signal = signal / (signal.std() + 1e-9) + 0.3 * rng.normal(size=rows)

    def rows(self, n):
        rng = self.rng
        x = rng.normal(size=(n, self.columns))
        if self.wide:  # from tiny to huge
            x *= 10.0 ** rng.integers(-40, 40, size=self.columns)
        if self.coarse:  # few values, so that rows meet thresholds exactly
            x = np.round(x * 2) / 2
        x[rng.random(x.shape) < self.zeroes] = 0
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
        odd = rng.random(x.shape) < 0.05
        x[odd] = rng.choice(ODD, odd.sum())
        for j, size in enumerate(self.sizes):
            if size:
                odd = rng.random(n) < 0.3
                x[odd, j] = rng.choice([
                    size, size + 1, size + 31, 32, 64, 1000, 1e6, 2**24, 2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**32 + 1, 3e9, 1e300, np.inf,
                    -np.inf, -1, -2, -0.5, -0.999, -0.0, -2**31, -2**32, -1e300, 0.25, 0.999, 1.5, size - 0.5, 2.75, np.nan], odd.sum())
        x[-1] = np.nan
        x[-2] = 0
        x[-3] = np.inf
        x[-4] = -np.inf
        return x

    def labels(self, objective, classes=None, scale=1):
        s, rng, n = self.signal, self.rng, len(self.signal)
        if objective == "binary":
            return (s > 0) * 1.0
        if objective in UNIT:
            return 1 / (1 + np.exp(-s))
        if objective in MULTI:
            return np.argsort(np.argsort(s)) * classes // n
        if objective in RANK:
            return np.clip(np.floor(s + 2), 0, 4)
        if objective == "poisson":
            return rng.poisson(np.exp(s / 2)).astype(float)
        if objective in POSITIVE:
            return np.exp(s / 2)
        return s * scale


def squared_error(prediction, data):
    label = data.get_label()
    label = np.tile(label, (prediction.size // label.size, 1)).T if prediction.ndim > 1 else label
    return prediction - label, np.ones_like(prediction)


class Trainer:
    def __init__(self, writer, seed):
        self.w, self.seed, self.count = writer, seed, 0

    def train(self, objective, rows=150, columns=6, rounds=8, asked=64, missing=0.1, categorical=0, coarse=False, zeroes=0.0, wide=False,
              named=False, early=False, iterations=(), scale=1, weighted=False, absent=False, refit=False, **params):
        """Trains and writes one model. Every model has a seed of its own, so that one can be looked at apart."""
        number = self.count
        self.count += 1
        rng = np.random.default_rng([self.seed, number])
        data = Data(rng, rows, columns, categorical, missing, coarse, zeroes, wide)
        about = json.dumps({"objective": objective, "rounds": rounds, "categorical": categorical, "missing": missing, "zeroes": zeroes, "wide": wide,
                            "named": named, "early": early, "scale": scale, **params}, sort_keys=True)
        params = {"objective": squared_error if objective == "custom" else objective, "num_threads": 1, "seed": number, "verbosity": -1,
                  "min_data_in_leaf": 5, "min_data_in_bin": 1, "deterministic": True, "force_row_wise": True, **params}
        label = data.labels(objective, params.get("num_class"), scale)
        group = [rows // 10] * 9 + [rows - 9 * (rows // 10)] if objective in RANK else None
        train_data = lgb.Dataset(data.x, label, group=group, weight=rng.random(rows) + 0.1 if weighted else None,
                                 categorical_feature=[j for j, size in enumerate(data.sizes) if size],
                                 feature_name=["column_\u00e9_%d" % j for j in range(columns)] if named else "auto",
                                 params=params | ({"objective": "none"} if objective == "custom" else {}), free_raw_data=False)
        name = "m%03d-%s" % (number, objective)
        extra = {}
        if early:
            params.update(early_stopping_round=2, metric="l1")
            held = data.rows(50)
            extra = {"valid_sets": [train_data.create_valid(held, rng.normal(size=50))]}
        try:
            booster = lgb.train(params, train_data, rounds, **extra) if rounds else lgb.Booster(params, train_data)
        except lgb.basic.LightGBMError as e:
            raise SystemExit("%s, %s: %s" % (name, about, e)) from e
        if refit:
            booster = booster.refit(np.nan_to_num(data.x), label, decay_rate=0.5)
        files = [name + ".txt", name + ".json"]
        booster.save_model(os.path.join(self.w.folder, files[0]))
        with open(os.path.join(self.w.folder, files[1]), "w") as f:
            json.dump(booster.dump_model(), f)
        asked_rows = data.questions(asked)
        if early:
            assert 0 < booster.best_iteration < rounds, booster.best_iteration
        loaded = lgb.Booster(model_file=os.path.join(self.w.folder, files[0]))
        if absent:
            check_absent(loaded, asked_rows)
        self.w.model(name, files, about, objective, asked_rows, answers(loaded, asked_rows, iterations))


def pick(rng, *choices):
    return choices[rng.randrange(len(choices))]


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def random_params(rng, objective):
    """Parameters of every kind, such that the library takes them."""
    p = {"learning_rate": log_uniform(rng, 0.02, 1), "rounds": rng.randint(1, 25), "num_leaves": pick(rng, 2, 3, 7, 31, 63),
         "missing": pick(rng, 0.0, 0.0, 0.1, 0.5), "zeroes": pick(rng, 0.0, 0.0, 0.3, 0.7), "coarse": rng.random() < 0.4, "named": rng.random() < 0.3,
         "columns": rng.randint(1, 14), "rows": rng.randint(60, 300), "min_data_in_leaf": pick(rng, 1, 2, 5, 20), "wide": rng.random() < 0.15,
         "min_sum_hessian_in_leaf": pick(rng, 1e-3, 0.1), "weighted": rng.random() < 0.2, "absent": rng.random() < 0.2,
         "max_bin": pick(rng, 2, 15, 63, 255, 1000)}
    for name, chance, value in [
            ("lambda_l1", 0.3, log_uniform(rng, 1e-3, 1)), ("lambda_l2", 0.3, log_uniform(rng, 1e-3, 10)), ("min_gain_to_split", 0.1, log_uniform(rng, 1e-3, 1)),
            ("feature_fraction", 0.3, 0.6), ("feature_fraction_bynode", 0.2, 0.6), ("max_delta_step", 0.1, 0.7), ("path_smooth", 0.2, 1.0),
            ("extra_trees", 0.2, True), ("zero_as_missing", 0.25, True), ("use_missing", 0.15, False), ("max_depth", 0.3, rng.randint(1, 10)),
            ("boost_from_average", 0.3, False), ("enable_bundle", 0.2, False)]:
        if rng.random() < chance:
            p[name] = value
    if rng.random() < 0.3:
        p.update(bagging_fraction=0.7, bagging_freq=1)
    kind = rng.random()
    if kind < 0.25:
        p.update(boosting="dart", drop_rate=rng.random() * 0.6, skip_drop=pick(rng, 0.0, 0.5), uniform_drop=rng.random() < 0.5,
                 xgboost_dart_mode=rng.random() < 0.3)
    elif kind < 0.4 and objective != "custom":
        p.update(boosting="rf", bagging_fraction=0.6, bagging_freq=1)
    elif kind < 0.5:
        p.update(data_sample_strategy="goss", bagging_freq=0)
        p.pop("bagging_fraction", None)
    if p.get("boosting") != "rf" and objective not in ("regression_l1", "quantile", "mape") and rng.random() < 0.25:
        p.update(linear_tree=True, linear_lambda=pick(rng, 0, 0.01, 1), num_leaves=pick(rng, 2, 3, 7))
        p.pop("zero_as_missing", None)
    if rng.random() < 0.5:
        p.update(categorical=rng.randint(1, p["columns"]), max_cat_to_onehot=pick(rng, 1, 4, 100), min_data_per_group=pick(rng, 1, 10),
                 cat_smooth=pick(rng, 0, 10), cat_l2=pick(rng, 0, 10), max_cat_threshold=pick(rng, 4, 32))
    elif rng.random() < 0.3 and not p.get("linear_tree") and objective not in ("regression_l1", "quantile", "mape"):
        p["monotone_constraints"] = [rng.randint(-1, 1) for _ in range(p["columns"])]
        p["monotone_constraints_method"] = pick(rng, "basic", "intermediate", "advanced")
        p.pop("path_smooth", None)
    if p["rounds"] > 2 and rng.random() < 0.5:
        p["iterations"] = [str(rng.randint(1, p["rounds"]))]
    if objective in MULTI or objective == "custom" and rng.random() < 0.3:
        p["num_class"] = rng.randint(2, 6)
        p["rounds"] = min(p["rounds"], 8)
        p.pop("iterations", None)
    if objective in ("binary", "multiclassova") and rng.random() < 0.5:
        p["sigmoid"] = pick(rng, 0.5, 2, 0.123456, 1e-5, 30.25)
    if objective in REGRESSION:
        p["scale"] = pick(rng, 1, 1000, 1e-3)
        p["reg_sqrt"] = rng.random() < 0.3
    if objective == "tweedie":
        p["tweedie_variance_power"] = pick(rng, 1.1, 1.5, 1.9)
    return p


def special(t):
    """Cases that random parameters seldom or never meet."""
    for objective in ["regression", "binary", "multiclass", "poisson", "cross_entropy_lambda"]:
        classes = {"num_class": 3} if objective in MULTI else {}
        t.train(objective, rounds=0, **classes)  # no trees
        t.train(objective, rounds=3, min_gain_to_split=1e9, **classes)  # a leaf a tree
    t.train("multiclass", num_class=7, rows=100, rounds=5, min_data_in_leaf=10)
    t.train("regression", rounds=2, linear_tree=True, min_gain_to_split=1e9)
    t.train("regression", rounds=5, linear_tree=True, missing=0.5, iterations=["2"])
    t.train("binary", rounds=5, linear_tree=True, categorical=3, absent=True)
    t.train("regression", columns=1, rounds=30, num_leaves=300, rows=2000, min_data_in_leaf=1)  # deep
    t.train("regression", columns=2, rounds=3, num_leaves=4000, rows=4000, min_data_in_leaf=1, max_bin=5000, asked=300)
    t.train("regression", columns=250, rows=200, rounds=10, categorical=200, feature_fraction=0.3, min_data_per_group=1, cat_smooth=1)
    t.train("binary", columns=400, rows=100, rounds=10, zeroes=0.9, absent=True)
    t.train("binary", rounds=60, learning_rate=1.0, num_leaves=60, rows=400, min_data_in_leaf=1, min_sum_hessian_in_leaf=1e-3)  # margins far out
    t.train("multiclass", rounds=60, learning_rate=1.0, num_leaves=30, rows=200, num_class=3, min_data_in_leaf=1, min_sum_hessian_in_leaf=1e-3)
    t.train("poisson", rounds=30, learning_rate=1.0, poisson_max_delta_step=5, rows=200)
    t.train("regression", rounds=60, scale=1e12, iterations=["1", "59"])
    t.train("regression", rounds=60, scale=1e-300)
    t.train("regression", rounds=20, wide=True, zeroes=0.3, zero_as_missing=True)
    t.train("regression", rounds=20, use_missing=False, missing=0.3, categorical=2)
    t.train("regression", rounds=20, categorical=6, max_cat_to_onehot=1, min_data_per_group=1, cat_smooth=0, cat_l2=0, rows=400, num_leaves=63)
    t.train("regression", rounds=40, early=True, rows=60)
    t.train("multiclass", rounds=5, num_class=4, boosting="rf", bagging_fraction=0.5, bagging_freq=1, iterations=["1", "3"])
    t.train("poisson", rounds=9, boosting="rf", bagging_fraction=0.5, bagging_freq=1, iterations=["4"])
    t.train("multiclassova", rounds=9, num_class=5, sigmoid=3.5, boosting="dart", drop_rate=0.4)
    t.train("regression", rounds=9, refit=True)
    t.train("binary", rounds=9, refit=True, categorical=3, missing=0.0)
    t.train("regression", rounds=5, interaction_constraints=[[0, 1], [2, 3, 4]])
    t.train("lambdarank", rounds=20, boosting="dart", categorical=2)


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
        booster = lgb.Booster(model_file=path)
        rng = np.random.default_rng([seed, i])
        columns = booster.num_feature()
        x = np.where(rng.random((500, columns)) < 0.5, rng.integers(0, 30, (500, columns)), 100 * rng.random((500, columns)) - 1)
        odd = rng.random(x.shape) < 0.1
        x[odd] = rng.choice(ODD, odd.sum())
        w.model(os.path.basename(path), [path], "", "", x, answers(booster, x, ["1"]))
    w.close()


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "predict":
        predict(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    else:
        raise SystemExit(__doc__)
