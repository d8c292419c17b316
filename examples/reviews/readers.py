#!/usr/bin/env python3
"""Readers of reviews, made up: they ask a model whether a review praises a film, and say whether the model was right.

Usage: readers.py --seconds 30 [--server http://localhost:8080] [--users 5000]
"""

import argparse
import http.client
import json
import random
import threading
import time
import urllib.parse

from reviews import WORDS, review


class Readers:
    """Some of the users, one after the other, over one connection."""

    def __init__(self, args: argparse.Namespace, number: int):
        self.draw = random.Random(args.seed * 1000 + number)
        self.users = [f"reader-{i}" for i in range(number, args.users, args.at_once)]
        self.server = http.client.HTTPConnection(urllib.parse.urlsplit(args.server).netloc, timeout=10)
        self.asked = self.right = 0

    def post(self, path: str, body: dict, **headers: str) -> tuple[dict, str]:
        self.server.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        answer = self.server.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answers {answer.status}: {text[:200]!r}")
        return json.loads(text), answer.getheader("Serin-Decision", "")

    def read(self):
        """Asks about one review, and tells whether the answer was right."""
        row, praises = review(self.draw)
        body = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, len(WORDS)], "data": row}]}
        answer, token = self.post("/v2/models/reviews/infer", body, **{"X-User-Id": self.draw.choice(self.users)})
        right = (answer["outputs"][0]["data"][0] >= 0.5) == praises
        self.post("/v1/feedback", {"token": token, "correct": right})
        self.asked += 1
        self.right += right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://localhost:8080")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    until = time.monotonic() + args.seconds
    readers = [Readers(args, i) for i in range(args.at_once)]

    def read(some: Readers):
        while time.monotonic() < until:
            some.read()

    threads = [threading.Thread(target=read, args=[some]) for some in readers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    asked, right = sum(r.asked for r in readers), sum(r.right for r in readers)
    print(f"{asked} reviews were read; of {100 * right / max(asked, 1):.1f} % the model was right, and all were told so")


if __name__ == "__main__":
    main()
