"""Asks a running server with MLflow's own scoring client, unmodified.

usage: mlflow_client.py HTTP, an address HOST:PORT; the server's only service is the example.
"""
import logging
import sys

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from checks import Checks, example_answers, example_columns, example_rows

logging.disable(logging.WARNING)
client = ScoringServerClient(*sys.argv[1].rsplit(":", 1))
check = Checks()
rows, answers, columns = example_rows(), example_answers(), example_columns()


def predictions(data):
    return client.invoke(data).get_predictions().to_numpy().flatten().tolist()


def data_frames():
    frame = pd.DataFrame(rows, columns=columns)
    check.equal("a data frame of all rows", predictions(frame), answers)
    for i in range(len(rows)):
        check.equal(f"a data frame of row {i}", predictions(frame[i:i + 1]), answers[i:i + 1])
    check.equal("columns in another order", predictions(frame[list(reversed(columns))]), answers)
    check.equal("columns that are no floats", predictions(frame.astype({"platform": "int64", "rewarded": "bool"})), answers)
    check.equal("a float32 data frame", predictions(frame.astype(np.float32)), answers)


def arrays():
    check.equal("an array of all rows", predictions(np.array(rows)), answers)
    check.equal("an array of one row", predictions(np.array(rows[:1])), answers[:1])


def refusals():
    frame = pd.DataFrame(rows[:1], columns=columns)
    for why, data, words in (
        ("a column too few", frame[columns[1:]], columns[0]),
        ("an unknown column", frame.rename(columns={columns[0]: "other"}), "other"),
        ("text for a number", frame.astype({columns[0]: object}).replace({columns[0]: {frame[columns[0]][0]: "x"}}), "text"),
        ("an array of a wrong width", np.zeros((1, 3)), "3"),
    ):
        e = check.raises(why, Exception, lambda: client.invoke(data))
        check.that(f"{why} is told", "error code 400" in str(e) and "error_code" in str(e) and words in str(e), e)


client.ping()
check.that("the server has a version", client.get_version())
for part in (data_frames, arrays, refusals):
    part()
check.done("mlflow-skinny")
