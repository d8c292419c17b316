#!/usr/bin/env python3
"""Trains an install-probability model with the real XGBoost on what generate.py wrote, and writes what Serin needs to serve it.

THE DATA IS SYNTHETIC, so the model knows nothing of the world. See README.md.

Usage: train.py --data impressions.csv [--data more.csv] --out FOLDER
It writes, under FOLDER:
  model/model.ubj      the model, as XGBoost saves it
  model/model.yaml     golden rows (inputs and XGBoost's own answers) and lineage; Serin checks these rows before it serves
  rows.csv             rows to try, without the label
  rows.expected.jsonl  XGBoost's probability and margin for each of them
The same data, the same XGBoost and the same machine give the same bytes.
"""

import argparse
import hashlib
import json
import os
import sys

import numpy as np
import xgboost

LABEL = "install"
ROUNDS = 60
PARAMS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 5,
    "learning_rate": 0.12,
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "reg_lambda": 2.0,
    "seed": 1,
    "nthread": 1,  # sums of floats depend on their order
}
ROWS, GOLDEN = 20, 8


def read(paths):
    """Returns names, a float32 matrix (NaN where a field is empty) and the digest of the files' bytes."""
    digest, names, parts = hashlib.sha256(), None, []
    for path in paths:
        with open(path, "rb") as f:
            raw = f.read()
        digest.update(raw)
        header, _, body = raw.decode("ascii").partition("\n")
        if names is not None and header.split(",") != names:
            sys.exit(f"{path}: its columns are not those of {paths[0]}")
        names = header.split(",")
        lines = body.splitlines()
        values = np.array([[float(v) if v else np.nan for v in line.split(",")] for line in lines], dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != len(names):
            sys.exit(f"{path}: rows of {len(names)} fields are wanted, like the header")
        parts.append(values)
    if LABEL not in names:
        sys.exit(f"there is no column {LABEL}: is this a file of generate.py?")
    return names, np.concatenate(parts), "sha256:" + digest.hexdigest()


def auc(label, score):
    """The probability that an install scores above another impression (Mann-Whitney, ties count half)."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = label.sum()
    return (rank[label == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives))


def log_loss(label, p):
    p = np.clip(p.astype(np.float64), 1e-15, 1 - 1e-15)
    return -np.mean(label * np.log(p) + (1 - label) * np.log1p(-p))


def number(x):
    """The shortest decimal that reads back as the same float32; null where missing."""
    if np.isnan(x):
        return "null"
    return np.format_float_positional(np.float32(x), unique=True, trim="-")


def choose(inputs, probability):
    """Picks rows from the least to the most probable install, half of them with missing values."""
    order = np.argsort(probability, kind="stable")
    missing = np.isnan(inputs[order]).any(axis=1)
    halves = []
    for part in (order[missing], order[~missing]):
        if len(part) < ROWS // 2:
            sys.exit("too few rows to choose from: generate more")
        halves.append(part[np.linspace(0, len(part) - 1, ROWS // 2).astype(int)])
    return np.stack(halves, axis=1).ravel()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, help="a CSV file of generate.py; may be given again")
    parser.add_argument("--out", required=True, help="the folder to write to")
    args = parser.parse_args()

    names, values, digest = read(args.data)
    at = names.index(LABEL)
    label, inputs = values[:, at], np.delete(values, at, axis=1)
    columns = [n for n in names if n != LABEL]
    held_out = np.arange(len(label)) % 5 == 4

    def matrix(x, y=None):
        return xgboost.DMatrix(x, label=y, feature_names=columns, missing=np.nan, nthread=1)

    trained = xgboost.train(PARAMS, matrix(inputs[~held_out], label[~held_out]), num_boost_round=ROUNDS)
    os.makedirs(os.path.join(args.out, "model"), exist_ok=True)
    path = os.path.join(args.out, "model", "model.ubj")
    trained.save_model(path)

    # What is told from here on is of the file, read back: that is what will be served.
    model = xgboost.Booster({"nthread": 1}, model_file=path)
    test_inputs, test_label = inputs[held_out], label[held_out]
    test = model.predict(matrix(test_inputs))
    base = np.full(len(test_label), label[~held_out].mean())
    print(f"{path}: {os.path.getsize(path)} bytes, {ROUNDS} trees")
    print(f"held out: {len(test_label)} rows, {int(test_label.sum())} installs, AUC {auc(test_label, test):.4f}, "
          f"log loss {log_loss(test_label, test):.5f} (base rate alone: {log_loss(test_label, base):.5f})")

    rows = test_inputs[choose(test_inputs, test)]
    probability = model.predict(matrix(rows))
    margin = model.predict(matrix(rows), output_margin=True)

    with open(os.path.join(args.out, "rows.csv"), "w", encoding="ascii", newline="\n") as f:
        f.write(",".join(columns) + "\n")
        for row in rows:
            f.write(",".join("" if np.isnan(v) else number(v) for v in row) + "\n")
    with open(os.path.join(args.out, "rows.expected.jsonl"), "w", encoding="ascii", newline="\n") as f:
        for p, m in zip(probability, margin):
            f.write(f'{{"prediction": {number(p)}, "margin": {number(m)}}}\n')

    params = {**PARAMS, "num_boost_round": ROUNDS, "xgboost": xgboost.__version__}
    golden = np.linspace(0, ROWS - 1, GOLDEN).astype(int)
    with open(os.path.join(args.out, "model", "model.yaml"), "w", encoding="ascii", newline="\n") as f:
        f.write("# Written by examples/installs/train.py. The data is synthetic: the numbers say nothing about real ads.\n")
        f.write("format: 1\nruntime: trees\ngolden:\n  tolerance: 1e-6\n  rows:\n")
        for i in golden:
            f.write(f"    - inputs: {{input: [{', '.join(map(number, rows[i]))}]}}\n")
            f.write(f"      outputs: {{prediction: [{number(probability[i])}]}}\n")
        f.write(f'lineage:\n  data: "{digest}"\n  params:\n')
        for key in sorted(params):
            f.write(f"    {key}: {json.dumps(str(params[key]))}\n")


if __name__ == "__main__":
    main()
