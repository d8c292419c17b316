"""Asks a running server with KServe's own clients, unmodified: REST of protocols v1 and v2, and gRPC.

usage: kserve_client.py HTTP GRPC, each address HOST:PORT; the server has the example and the test models of interop/models.
"""
import asyncio
import logging
import math
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from checks import Checks, complete, example_answers, example_columns, example_rows

logging.disable(logging.CRITICAL)  # it logs every refusal
base, grpc_address = f"http://{sys.argv[1]}", sys.argv[2]
check = Checks()
rows, answers, margins = example_rows(), example_answers(), example_answers("margin")
known = complete(rows)  # JSON of the client knows no NaN


def request(x, binary=None, model="installs", **wish):
    """A request for rows: as a list where binary is None, else as an array in JSON or in binary."""
    given = InferInput("input", list(np.shape(x)), "FP32", data=[v for row in x for v in row] if binary is None else None)
    if binary is not None:
        given.set_data_from_numpy(np.array(x, np.float32), binary_data=binary)
    return InferRequest(model, [given], **wish)


async def refused(what, asked, kind, status, words):
    try:
        answer = await asked
    except kind as e:
        got = e.response.status_code if isinstance(e, httpx.HTTPStatusError) else e.code()
        check.that(f"{what} has its status", got == status, got)
        check.that(f"{what} is told", words in str(e), e)
    else:
        check.fail(f"{what} is answered", answer)


async def v1():
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as c:
        check.that("v1: the server is live", await c.is_server_live(base))
        check.that("v1: the model is ready", await c.is_model_ready(base, "installs"))
        await refused("v1: an unknown model's readiness", c.is_model_ready(base, "nobody"), httpx.HTTPStatusError, 404, "nobody")
        for key in ("instances", "inputs"):
            for i in known:
                answer = await c.infer(base, {key: [rows[i]]}, "installs")
                check.equal(f"v1: row {i} as {key}", answer["predictions"], [answers[i]])
            answer = await c.infer(base, {key: [rows[i] for i in known]}, "installs")
            check.equal(f"v1: all rows as {key}", answer["predictions"], [answers[i] for i in known])
        missing = [[None if math.isnan(v) else v for v in row] for row in rows]
        answer = await c.infer(base, {"instances": missing}, "installs")
        check.equal("v1: rows with null for what is missing", answer["predictions"], answers)
        answer = await c.infer(base, {"instances": [dict(zip(example_columns(), missing[0]))]}, "installs")
        check.equal("v1: a row by the names of its columns", answer["predictions"], answers[:1])
        answer = await c.explain(base, "installs", {"instances": missing})
        check.equal("v1: explanations of all rows", len(answer["explanations"]), len(rows))
        for i, row in enumerate(answer["explanations"]):
            total = row["base"] + sum(row["contributions"].values())
            check.that(f"v1: the explanation of row {i} adds up to the margin", abs(total - margins[i]) < 1e-5, total, margins[i])
        await refused("v1: a wrong width", c.infer(base, {"instances": [[1, 2, 3]]}, "installs"), httpx.HTTPStatusError, 400, "shape")
        await refused("v1: no instances", c.infer(base, {}, "installs"), httpx.HTTPStatusError, 400, "instances")
        await refused("v1: an unknown model", c.infer(base, {"instances": [[1]]}, "nobody"), httpx.HTTPStatusError, 404, "nobody")
        x = {"instances": [["a"] * 2]}
        await refused("v1: what cannot be explained", c.explain(base, "simple_identity", x), httpx.HTTPStatusError, 501, "explain")


async def v2():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as c:
        check.that("v2: the server is live", await c.is_server_live(base))
        check.that("v2: the server is ready", await c.is_server_ready(base))
        check.that("v2: the model is ready", await c.is_model_ready(base, "installs"))
        check.that("v2: an unknown model is not ready", not await c.is_model_ready(base, "nobody"))
        for binary in (None, False, True):
            asked = range(len(rows)) if binary else known
            for i in asked:
                answer = await c.infer(base, request([rows[i]], binary, request_id=f"q{i}"), "installs")
                check.equal(f"v2: row {i}, binary {binary}", answer.outputs[0].as_numpy().astype(np.float32).tolist(), [answers[i]])
                check.equal("v2: the id is echoed", answer.id, f"q{i}")
        wish = {"request_outputs": [RequestedOutput("prediction", {"binary_data": True}), RequestedOutput("margin", {"binary_data": False})]}
        answer = await c.infer(base, request(rows, True, **wish), "installs")
        for output, want in zip(answer.outputs, (answers, margins)):
            check.equal(f"v2: {output.name} of all rows", output.as_numpy().astype(np.float32).tolist(), want)
        answer = await c.infer(base, request(rows, True, parameters={"binary_data_output": True}), "installs")
        check.equal("v2: all outputs in binary", answer.outputs[0].as_numpy().tolist(), answers)
        half = InferInput("input", [1, 56], "FP16")
        half.set_data_from_numpy(np.ones((1, 56), np.float16), binary_data=True)
        same = await c.infer(base, request(np.ones((1, 56)).tolist()), "installs")
        answer = await c.infer(base, InferRequest("installs", [half]), "installs")
        check.equal("v2: FP16", answer.outputs[0].data, same.outputs[0].data)
        await refused("v2: a wrong width", c.infer(base, request([[1, 2]]), "installs"), httpx.HTTPStatusError, 400, "shape")
        await refused("v2: an unknown model", c.infer(base, request([[1]]), "nobody"), httpx.HTTPStatusError, 404, "nobody")


async def over_grpc():
    async with InferenceGRPCClient(grpc_address) as c:
        check.that("gRPC: the server is live", await c.is_server_live())
        check.that("gRPC: the server is ready", await c.is_server_ready())
        check.that("gRPC: the model is ready", await c.is_model_ready("installs"))
        for binary in (None, True):
            for i, row in enumerate(rows):
                answer = await c.infer(request([row], binary, request_id=f"q{i}"))
                check.equal(f"gRPC: row {i}, binary {binary}", answer.outputs[0].as_numpy().astype(np.float32).tolist(), [answers[i]])
                check.equal("gRPC: the id is echoed", answer.id, f"q{i}")
        answer = await c.infer(request(rows, True, request_outputs=[RequestedOutput("margin")]))
        check.equal("gRPC: margins of all rows", answer.outputs[0].as_numpy().tolist(), margins)
        invalid, unknown = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
        await refused("gRPC: a wrong width", c.infer(request([[1, 2]])), grpc.RpcError, invalid, "shape")
        await refused("gRPC: an unknown model", c.infer(request([rows[0]], model="nobody")), grpc.RpcError, unknown, "nobody")


async def everything():
    for part in (v1, v2, over_grpc):
        await part()


asyncio.run(everything())
check.done("kserve")
