"""Asks a running server with Triton's own HTTP client, unmodified, and holds the answers against XGBoost's.

usage: triton_client.py HOST:PORT. Reads examples/installs; exits with 1 at the first difference.
"""
import csv
import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
rows = [
    [float(cell) if cell not in ("", "nan") else float("nan") for cell in row]
    for row in list(csv.reader(open("examples/installs/rows.csv")))[1:]
]
expected = [json.loads(line) for line in open("examples/installs/rows.expected.jsonl")]
checked = 0


def check(what, ok):
    global checked
    checked += 1
    if not ok:
        sys.exit(f"FAILED: {what}")


def ask(x, *outputs):
    given = triton.InferInput("input", list(x.shape), "FP32")
    given.set_data_from_numpy(x, binary_data=False)
    wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in outputs]
    return client.infer("installs", [given], outputs=wanted, request_id="q7")


check("the server is live", client.is_server_live())
check("the server is ready", client.is_server_ready())
check("the model is ready", client.is_model_ready("installs"))
check("an unknown model is not ready", not client.is_model_ready("nobody"))
check("the server's name", client.get_server_metadata()["name"] == "serin")
metadata = client.get_model_metadata("installs")
check("the input's shape", metadata["inputs"][0]["shape"] == [-1, 56])
check("the model is ready by its version", client.is_model_ready("installs", metadata["versions"][0]))

complete = [i for i, row in enumerate(rows) if not any(np.isnan(row))]
x = np.array([rows[i] for i in complete], dtype=np.float32)
result = ask(x, "prediction", "margin")
check("the id is echoed", result.get_response()["id"] == "q7")
for name in ("prediction", "margin"):
    got = result.as_numpy(name)
    want = np.array([expected[i][name] for i in complete], dtype=np.float32)
    check(f"{name} of {len(complete)} rows", got.shape == want.shape and np.allclose(got, want, rtol=1e-6, atol=0))

for what, x in (("a wrong width", np.zeros((1, 55), np.float32)), ("no rows", np.zeros((0, 56), np.float32))):
    try:
        ask(x, "prediction")
        sys.exit(f"FAILED: {what} is answered")
    except InferenceServerException as e:
        check(what, e.status() == "400" and e.message())
print(f"tritonclient {__import__('importlib.metadata').metadata.version('tritonclient')}: {checked} passed, 0 failed")
