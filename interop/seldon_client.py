"""Asks a running server with Seldon's own client, unmodified, over REST and gRPC and through each gateway that it knows.

usage: seldon_client.py HTTP GRPC DATA-DIR, each address HOST:PORT; the server's only service is the example.
"""
import json
import logging
import subprocess
import sys
import time

import numpy as np
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2
from seldon_core.proto.tensorflow.core.framework import tensor_pb2, types_pb2
from seldon_core.seldon_client import SeldonClient
from seldon_core.utils import json_to_seldon_message, seldon_message_to_json

from checks import Checks, example_answers, example_columns, example_rows

logging.disable(logging.WARNING)
http, grpc, data_dir = sys.argv[1:]
check = Checks()
rows, answers, margins, columns = example_rows(), example_answers(), example_answers("margin"), example_columns()
transports, gateways = ("rest", "grpc"), ("ambassador", "istio", "seldon")


def client(gateway, transport, payload="ndarray", returns="dict", namespace="default", name="installs"):
    return SeldonClient(
        gateway=gateway, transport=transport, deployment_name=name, namespace=namespace, payload_type=payload,
        gateway_endpoint=http if transport == "rest" else grpc, client_return_type=returns,
    )


def raw_tftensor(x):
    """x as TensorFlow's make_tensor_proto has it. The client calls that for payload_type="tftensor", and TensorFlow is large."""
    t = tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, tensor_content=x.astype("<f8").tobytes())
    for size in x.shape:
        t.tensor_shape.dim.add(size=size)
    return {"data": {"tftensor": json_format.MessageToDict(t)}}


def raw_ndarray(x):
    """x with null for what is missing: the JSON that protobuf makes of an ndarray knows no NaN, so the client cannot send one itself."""
    return {"data": {"ndarray": [[None if np.isnan(v) else v for v in row] for row in x.tolist()]}}


def predict(c, payload, x):
    """Asks for rows as a user of the client does, who gives it raw data where it cannot make the message itself."""
    if payload == "tftensor":
        return c.predict(raw_data=raw_tftensor(x))
    if payload == "ndarray" and np.isnan(x).any():
        return c.predict(raw_data=raw_ndarray(x))
    return c.predict(data=x)


def numbers(data):
    """The numbers of a response's data, whatever its form, and their shape."""
    if "tensor" in data:
        return data["tensor"]["values"], data["tensor"]["shape"]
    if "ndarray" in data:
        return data["ndarray"], list(np.shape(data["ndarray"]))
    t = json_format.ParseDict(data["tftensor"], tensor_pb2.TensorProto())
    kind = {types_pb2.DT_FLOAT: "<f4", types_pb2.DT_DOUBLE: "<f8"}[t.dtype]
    values = np.frombuffer(t.tensor_content, kind).tolist() if t.tensor_content else list(t.double_val or t.float_val)
    return values, [d.size for d in t.tensor_shape.dim]


def every_row():
    """Each row alone, and all at once, are exactly what XGBoost computed, in the form in which they were asked."""
    for transport in transports:
        for gateway in gateways:
            for payload in ("tensor", "ndarray", "tftensor"):
                c, what = client(gateway, transport, payload), f"{transport}, {gateway}, {payload}"
                for i, row in enumerate(rows):
                    r = predict(c, payload, np.array([row]))
                    check.that(f"{what}: row {i} is answered in its form", r.success and payload in r.response["data"], r.msg, r.response)
                    check.equal(f"{what}: row {i} is what XGBoost computed", numbers(r.response["data"]), ([answers[i]], [1]))
                r = predict(c, payload, np.array(rows))
                check.that(f"{what}: all rows at once are answered", r.success, r.msg, r.response)
                check.equal(f"{what}: all rows are what XGBoost computed", numbers(r.response["data"]), (answers, [len(rows)]))


def whole_response():
    """The whole response to row 0 is as the golden file has it."""
    with open("interop/golden/seldon_row0.json") as f:
        golden = json.load(f)
    for transport in transports:
        c = client("ambassador", transport, "tensor")
        r = c.predict(data=np.array(rows[:1]), names=columns, headers={"seldon-puid": "interop-row-0"}, meta={"who": "interop"})
        if transport == "grpc":  # the JSON that the client makes of a message leaves out lists without entries
            golden = seldon_message_to_json(json_to_seldon_message(golden))
        check.equal(f"{transport}: the whole response to row 0", r.response, golden)


def columns_by_name():
    order = list(reversed(range(len(columns))))
    x, names = np.array([[rows[2][i] for i in order]]), [columns[i] for i in order]
    for transport in transports:
        for namespace in ("default", None):
            r = client("istio", transport, "tensor", namespace=namespace).predict(data=x, names=names)
            check.that(f"{transport}: columns in another order are known by their names", r.success, r.msg, r.response)
            check.equal(f"{transport}: and the answer is the same", numbers(r.response["data"])[0], answers[2:3])


def other_payloads():
    """JSON of any form is an array or a table; the calls of a model's own microservice are answered as well."""
    for transport in transports:
        c = client("seldon", transport)
        for what, data in (
            ("an array", [[None if np.isnan(v) else v for v in row] for row in rows]),
            ("a table", [{name: None if np.isnan(v) else v for name, v in zip(columns, row)} for row in rows]),
        ):
            r = c.predict(json_data=data)
            check.that(f"{transport}: {what} as jsonData is answered", r.success, r.msg, r.response)
            check.equal(f"{transport}: {what} as jsonData", numbers(r.response["data"]), (answers, [len(rows)]))
        c = SeldonClient(microservice_endpoint=http if transport == "rest" else grpc, transport=transport)
        r = c.microservice(data=np.array(rows), method="predict")
        check.that(f"{transport}: the call of a microservice is answered", r.success, r.msg, r.response)
        check.equal(f"{transport}: the call of a microservice", list(r.response.data.tensor.values), answers)


def feedback():
    """Feedback, in each way that the client sends it, is stored when it is acknowledged, so that SQL finds it."""
    rewards = {}
    for transport in transports:
        for gateway in gateways:
            what = f"{transport}, {gateway}"
            c = client(gateway, transport, "tensor", returns="proto")
            r = c.predict(data=np.array(rows[:1]))
            reward = 0.25 * len(rewards)

            def send(reward):
                return c.feedback(prediction_request=r.request, prediction_response=r.response, reward=reward)

            f = send(reward)
            check.that(f"{what}: feedback is accepted", f.success, f.msg, f.response)
            rewards[r.response.meta.puid] = reward
            f = send(reward)
            check.that(f"{what}: the same once more is no mistake", f.success, f.msg, f.response)
            f = send(reward + 1)
            check.that(f"{what}: another reward for the same prediction is refused", not f.success, f.response)
    check.equal("rewards are stored", stored("reward", rewards), rewards)

    truths = {}
    for transport in transports:
        c = client("seldon", transport, "ndarray", returns="proto")
        r = c.predict(data=np.array(rows[2:3]))
        truth = prediction_pb2.SeldonMessage()
        json_format.ParseDict({"data": {"ndarray": [[1]]}}, truth)
        f = c.feedback(prediction_request=r.request, prediction_response=r.response, prediction_truth=truth)
        check.that(f"{transport}: the truth is accepted", f.success, f.msg, f.response)
        truths[r.response.meta.puid] = 1
    check.equal("truths are stored", stored("label", truths), truths)


def stored(kind, decisions):
    """What came back for decisions, as SQL tells it, which follows the log from behind."""
    for _ in range(300):
        asked = subprocess.run(
            ["bin/serin", "sql", "--json", "--data-dir", data_dir, f"SELECT decision, number FROM outcomes WHERE kind = '{kind}'"],
            check=True, capture_output=True, text=True,
        )
        found = {decision: value for decision, value in json.loads(asked.stdout)["rows"] if decision in decisions}
        if len(found) == len(decisions):
            break
        time.sleep(0.1)
    return found


def explain():
    """Contributions and base add up to the margin that XGBoost computed. The client explains over REST alone, and not through "seldon"."""
    for gateway, namespace in (("ambassador", "default"), ("istio", None)):
        for payload in ("tensor", "ndarray"):
            x = np.array(rows[1:2])  # in which nothing is missing
            r = client(gateway, "rest", payload, namespace=namespace).explain(data=x, predictor="default")
            check.that(f"{gateway}, {payload}: an explanation is given", r.success, r.msg, getattr(r.response, "text", r.response))
            (row,) = r.response["explanations"]
            total = row["base"] + sum(row["contributions"].values())
            check.that(f"{gateway}: it adds up to the margin", abs(total - margins[1]) < 1e-5 and abs(row["margin"] - margins[1]) < 1e-6, row)
            check.equal(f"{gateway}: it has every column", sorted(row["contributions"]), sorted(columns))
            check.equal(f"{gateway}: and names them", r.response["names"], columns)


def errors():
    """The client can read what is wrong."""
    for transport in transports:
        for what, c, x, status, code, words in (
            ("a wrong width", client("istio", transport, "tensor"), np.zeros((1, 55)), "400", "INVALID_ARGUMENT", "shape [1 55]"),
            ("no rows", client("istio", transport, "tensor"), np.zeros((0, 56)), "400", "INVALID_ARGUMENT", ""),
            ("infinity", client("istio", transport, "tensor"), np.full((1, 56), np.inf), "400", "INVALID_ARGUMENT", "infinite"),
            ("an unknown name", client("istio", transport, "tensor", name="nobody"), np.zeros((1, 56)), "404", "NOT_FOUND", "nobody"),
        ):
            r = c.predict(data=x)
            check.that(f"{transport}: {what} is refused", not r.success, r.response)
            if transport == "rest":
                check.that(f"{transport}: {what} has its status", r.msg.startswith(status), r.msg)
                check.that(f"{transport}: {what} is told", words in r.response["status"]["info"], r.response)
                message = json_to_seldon_message(r.response)
                check.equal(f"{transport}: {what} is a failure", message.status.status, prediction_pb2.Status.FAILURE)
            else:
                check.that(f"{transport}: {what} has its code and is told", code in r.msg and words in r.msg, r.msg)
        for form, ask in (("strData", {"str_data": "text"}), ("binData", {"bin_data": b"\0\1"}), ("jsonData", {"json_data": {"a": 1}})):
            r = client("seldon", transport).predict(**ask)
            check.that(f"{transport}: {form} is refused by a model of numbers", not r.success, r.response)


for part in (every_row, whole_response, columns_by_name, other_payloads, feedback, explain, errors):
    part()
check.done("seldon-core")
