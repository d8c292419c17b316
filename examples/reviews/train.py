#!/usr/bin/env python3
"""Learns from reviews whether one praises a film, and writes the model as XGBoost does, in JSON.

It is naive Bayes: each word speaks for praise as much as it is more frequent there, and the words add up. As trees: one for each word, with
one leaf if the review uses it, and another if not. No library is needed.

Usage: train.py --reviews 4000 [--words 24] [--sorted] [--seed 1] model.json
"""

import argparse
import json
import math
import random

from reviews import WORDS, review


def learn(count: int, words: int, seed: int) -> list[tuple[float, float]]:
    """Returns for each word what its absence and its presence say for praise, as logarithms of odds."""
    draw = random.Random(seed)
    uses = {True: [1] * len(WORDS), False: [1] * len(WORDS)}  # one more than seen: nothing is impossible
    reviews = {True: 2, False: 2}
    for _ in range(count):
        row, praises = review(draw)
        reviews[praises] += 1
        uses[praises] = [a + b for a, b in zip(uses[praises], row)]
    says = []
    for good, bad in list(zip(uses[True], uses[False]))[:words]:
        p, q = good / reviews[True], bad / reviews[False]
        says.append((math.log((1 - p) / (1 - q)), math.log(p / q)))
    return says


def by_name(says: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns what somebody would have learnt whose columns were sorted by name: a mistake that no error tells of."""
    names = list(WORDS)
    return [says[names.index(name)] for name in sorted(names) if names.index(name) < len(says)]


def trees(says: list[tuple[float, float]]) -> dict:
    """Returns the model in the form of XGBoost's JSON."""
    def tree(i: int, absent: float, present: float) -> dict:
        return {
            "id": i, "left_children": [1, -1, -1], "right_children": [2, -1, -1], "parents": [2147483647, 0, 0],
            "split_indices": [i, 0, 0], "split_conditions": [0.5, absent, present], "default_left": [1, 0, 0], "split_type": [0, 0, 0],
            "base_weights": [0.0, absent, present], "loss_changes": [0.0] * 3, "sum_hessian": [0.0] * 3,
            "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
            "tree_param": {"num_nodes": "3", "size_leaf_vector": "1", "num_deleted": "0", "num_feature": str(len(WORDS))},
        }

    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(says))},
        "iteration_indptr": list(range(len(says) + 1)), "tree_info": [0] * len(says),
        "trees": [tree(i, *s) for i, s in enumerate(says)],
    }
    return {"version": [2, 1, 0], "learner": {
        "attributes": {}, "feature_names": list(WORDS), "feature_types": ["float"] * len(WORDS),
        "gradient_booster": {"name": "gbtree", "model": model},
        "learner_model_param": {"base_score": "5E-1", "boost_from_average": "0", "num_class": "0", "num_feature": str(len(WORDS)), "num_target": "1"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=int, required=True, help="how many it learns from")
    parser.add_argument("--words", type=int, default=len(WORDS), help="how many words it knows, the first ones")
    parser.add_argument("--sorted", action="store_true", help="sort the columns by name before training, as those of requests are not")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("model", help="the file to write")
    args = parser.parse_args()
    says = learn(args.reviews, args.words, args.seed)
    with open(args.model, "w", encoding="utf-8") as file:
        json.dump(trees(by_name(says) if args.sorted else says), file)


if __name__ == "__main__":
    main()
