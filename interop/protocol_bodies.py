"""Sends the request bodies of KServe's and MLServer's own tests, from the shared test data, to a running server that has the models which
KServe's are for. Bodies for other models must be refused, and told why.

usage: protocol_bodies.py HTTP GRPC, each address HOST:PORT
"""
import json
import os
import sys
import urllib.error
import urllib.request

import grpc
import numpy as np
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from checks import Checks, shared_data

http, grpc_address = sys.argv[1:]
check = Checks()
folder = shared_data("protocol")
if folder is None:
    sys.exit(0)
MODELS = ("iris", "iris-bst")  # of KServe's tests, as JSON and in XGBoost's old binary format
LENGTH = "Inference-Header-Content-Length"

# What the models predict for the bodies that are for them: the classes that KServe's tests expect, and for the last what XGBoost computes.
V1 = {"kserve/iris_input.json": [1, 1], "kserve/iris_batch_input.json": [1, 1]}
V2 = {
    "kserve/iris_input_v2.json": [1, 1], "kserve/iris_input_v2_all_binary.json": [1, 1], "kserve/iris_input_v2_binary.json": [1, 1],
    "mlserver/bench_iris_rest.json": [2],
}
GRPC = {"kserve/iris_input_v2_grpc.json": [1, 1]}


def read(path):
    with open(os.path.join(folder, path), "rb") as f:
        return f.read()


def post(path, body):
    """Returns the status, the JSON and the binary part of the answer."""
    request = urllib.request.Request(f"http://{http}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as r:
            answer, size = r.read(), r.headers.get(LENGTH)
            size = len(answer) if size is None else int(size)
            return r.status, json.loads(answer[:size]), answer[size:]
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read()), b""


def values(output, binary):
    """The numbers of an output, in JSON or in the binary part of the answer."""
    if "data" in output:
        return output["data"]
    check.equal("the size of the binary output", output["parameters"]["binary_data_size"], len(binary))
    return np.frombuffer(binary, {"FP32": "<f4", "INT32": "<i4"}[output["datatype"]]).tolist()


def predicted():
    for model in MODELS:
        for path, want in V1.items():
            bodies = json.loads(read(path))
            for body in bodies if isinstance(bodies, list) else [bodies]:  # KServe's test sends those of a list one by one
                status, answer, _ = post(f"/v1/models/{model}:predict", json.dumps(body).encode())
                check.equal(f"{path} to {model}", (status, answer.get("predictions")), (200, want))
        for path, want in V2.items():
            body = read(path)
            status, answer, binary = post(f"/v2/models/{model}/infer", body)
            check.that(f"{path} to {model} is answered", status == 200, status, answer)
            (output,) = answer["outputs"]
            check.equal(f"{path} to {model}", values(output, binary), want)
            check.equal(f"{path} to {model}: binary where it was asked for", bool(binary), b'"binary_data' in body)
        with grpc.insecure_channel(grpc_address) as channel:
            for path, want in GRPC.items():
                request = json_format.ParseDict(json.loads(read(path)), service_pb2.ModelInferRequest(model_name=model))
                answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
                raw = answer.raw_output_contents
                got = np.frombuffer(raw[0], "<f4").tolist() if raw else list(answer.outputs[0].contents.fp32_contents)
                check.equal(f"{path} to {model}", got, want)


def refused():
    """Every other body is for a model or a protocol that is not there, so each call of it says what is wrong."""
    for server in ("kserve", "mlserver"):
        for name in sorted(os.listdir(os.path.join(folder, server))):
            path = f"{server}/{name}"
            if not name.endswith(".json") or "settings" in name or path in V1 | V2:
                continue
            for call in ("/v2/models/iris/infer", "/v1/models/iris:predict"):
                status, answer, _ = post(call, read(path))
                check.that(f"{path} to {call} is refused", status == 400 and answer.get("error"), status, answer)
    for path in V1:
        status, answer, _ = post("/v2/models/iris/infer", read(path))
        check.that(f"{path} to v2 is refused", status == 400 and answer.get("error"), status, answer)
    with grpc.insecure_channel(grpc_address) as channel:
        for name in sorted(os.listdir(os.path.join(folder, "mlserver", "grpc"))):
            body = json.loads(read(f"mlserver/grpc/{name}"))
            for model, version, code in ((body["model_name"], body["model_version"], "NOT_FOUND"), ("iris", "", "INVALID_ARGUMENT")):
                request = json_format.ParseDict({**body, "model_name": model, "model_version": version}, service_pb2.ModelInferRequest())
                ask = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
                e = check.raises(f"{name} to {model}", grpc.RpcError, lambda: ask(request))
                check.that(f"{name} to {model} is told", e.code().name == code and e.details(), e)


for part in (predicted, refused):
    part()
check.done("tritonclient")
