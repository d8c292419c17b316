"""Asks an MLServer through Serin, over protocols that MLServer does not speak itself, and holds the answers against what it says when it is
asked without Serin, and against what XGBoost computed.

usage: upstream_mlserver.py HTTP MLSERVER, two addresses HOST:PORT; the first server has the services of interop/upstreams.yaml.
"""
import json
import math
import sys
import urllib.error
import urllib.request

from checks import Checks, complete, example_answers, example_rows, float32

serin, mlserver = sys.argv[1:3]
check = Checks()
rows, answers = example_rows(), example_answers()


def call(address, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as r:
            return r.status, json.load(r)
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or "null")


def null(rows):
    return [[None if math.isnan(v) else v for v in row] for row in rows]


def tensor(rows, datatype="FP32"):
    return {"name": "input", "datatype": datatype, "shape": [len(rows), len(rows[0])], "data": null(rows)}


def infer(address, model, rows, datatype="FP32"):
    status, answer = call(address, f"/v2/models/{model}/infer", {"inputs": [tensor(rows, datatype)]})
    check.equal(f"{model} over v2: status", status, 200)
    return answer["outputs"][0]


def directly(rows):
    """What MLServer says, whose 32-bit floats are written as the numbers that they are exactly."""
    return infer(mlserver, "installs", rows)["data"]


def asked_in_every_protocol(service, given, want):
    for datatype in ("FP32", "FP64"):
        output = infer(serin, service, given, datatype)
        check.equal(f"{service} over v2, {datatype}", ([float32(v) for v in output["data"]], output["datatype"], output["name"]), (want, "FP32", "predict"))
    status, answer = call(serin, f"/seldon/{service}/api/v1.0/predictions", {"data": {"ndarray": null(given)}})
    got = answer["data"]["ndarray"] if status == 200 else answer
    check.equal(f"{service} over Seldon", [v for row in got for v in (row if isinstance(row, list) else [row])], want)
    status, answer = call(serin, f"/v1/models/{service}:predict", {"instances": null(given)})
    got = answer["predictions"] if status == 200 else answer
    check.equal(f"{service} over v1", [v for row in got for v in (row if isinstance(row, list) else [row])], want)


whole = complete(rows)
for service in ("installs", "described"):
    for given, want in ((rows[:1], answers[:1]), ([rows[i] for i in whole], [answers[i] for i in whole]), (rows, answers)):
        check.equal("MLServer alone", directly(given), want)
        asked_in_every_protocol(service, given, want)

status, answer = call(serin, "/v2/models/installs")
check.equal("an open signature", (status, answer["inputs"], answer["outputs"]), (200, [{"name": "input", "datatype": "FP64", "shape": [-1, -1]}], []))
status, answer = call(serin, "/v2/models/installs/infer", {"inputs": [tensor([[1.0, 2.0]])]})
check.that("what it refuses", status >= 400 and "error" in answer, status, answer)
status, answer = call(serin, "/v2/models/described/infer", {"inputs": [tensor([[1.0, 2.0]])]})
check.that("what it would refuse", status == 400 and "the model takes [-1 56]" in answer["error"], status, answer)
status, answer = call(serin, "/v2/models/unknown/infer", {"inputs": [tensor(rows[:1])]})
check.equal("a model that it does not know is no fault of who asks", status, 500)
check.done("mlserver")
