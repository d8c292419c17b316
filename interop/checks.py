"""What the scripts of this folder share: checks that are counted, and the rows of the example with the answers that XGBoost computed.

Every script is run from the project's root and ends with "CLIENT VERSION: N passed, 0 failed", or at its first failure.
"""
import csv
import importlib.metadata
import json
import math
import os
import struct
import sys

NAN = float("nan")


class Checks:
    """Counts what was checked, and ends the script at the first thing that is wrong."""

    def __init__(self):
        self.passed = 0

    def that(self, what, ok, *told):
        """Checks that ok is true. What is told besides is printed where it is not."""
        if not ok:
            self.fail(what, *told)
        self.passed += 1

    def equal(self, what, got, want):
        """Checks that got is want."""
        self.that(what, got == want, "got:", got, "want:", want)

    def raises(self, what, kind, ask):
        """Checks that ask() raises an error of a kind, and returns it."""
        try:
            answer = ask()
        except kind as e:
            self.passed += 1
            return e
        self.fail(f"{what} is answered", answer)

    def fail(self, what, *told):
        print(f"FAILED: {what}", *told, file=sys.stderr)
        sys.exit(1)

    def done(self, package):
        """Prints the line that says what was checked, with the version of the client's package."""
        print(f"{package} {importlib.metadata.version(package)}: {self.passed} passed, 0 failed")


def float32(x):
    """The 32-bit float nearest to x, as a Python number."""
    return struct.unpack("f", struct.pack("f", x))[0]


def example_rows():
    """The rows of the example, with NaN where a value is missing."""
    with open("examples/installs/rows.csv") as f:
        return [[float(cell) if cell else NAN for cell in row] for row in list(csv.reader(f))[1:]]


def example_columns():
    """The names of the example's columns."""
    with open("examples/installs/rows.csv") as f:
        return next(csv.reader(f))


def example_answers(output="prediction"):
    """What XGBoost computed for each row: 32-bit floats, as the numbers that they are exactly."""
    with open("examples/installs/rows.expected.jsonl") as f:
        return [float32(json.loads(line)[output]) for line in f]


def complete(rows):
    """The numbers of the rows in which nothing is missing."""
    return [i for i, row in enumerate(rows) if not any(math.isnan(v) for v in row)]


def shared_data(*path):
    """The path of a file of the shared test data, None where that is absent, which is told, and fails where CI=true."""
    root = os.environ.get("SERIN_TEST_DATA", os.path.join("..", "shared", "data"))
    full = os.path.join(root, *path)
    if os.path.exists(full):
        return full
    print(f"SKIP: test data {os.path.join(*path)} is absent (set SERIN_TEST_DATA to its folder)")
    if os.environ.get("CI") == "true":
        sys.exit(1)
    return None
