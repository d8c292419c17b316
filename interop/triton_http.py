"""Asks a running server with Triton's own HTTP client, unmodified: tensors in JSON and in binary, compressed and not.

usage: triton_http.py HTTP, an address HOST:PORT; the server has the example and the test models of interop/models.
"""
import asyncio
import itertools
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

import triton_shared as shared
from checks import Checks

address = sys.argv[1]
client = triton.InferenceServerClient(address, concurrency=8)
check = Checks()


def asking(sent="binary", answered="binary", **how):
    """A function that asks for inference, with tensors in JSON or binary on each way, or, where sent is mixed, in both."""
    def infer(model, arrays, names, **wish):
        given = []
        for i, (name, x) in enumerate(arrays.items()):
            binary = sent == "binary" or sent == "mixed" and i % 2 == 0
            given += shared.inputs(triton, {name: x}, binary_data=binary)
        wanted = names and shared.outputs(triton, *names, binary_data=answered == "binary", **wish)
        return client.infer(model, given, outputs=wanted, **how)
    return infer


def health():
    query = {"test_1": 1, "test_2": 2}  # no call minds a query that it does not know
    check.that("the server is live", client.is_server_live(query_params=query))
    check.that("the server is ready", client.is_server_ready(query_params=query))
    check.that("a model is ready", client.is_model_ready("simple", query_params=query))
    check.that("an unknown model is not ready", not client.is_model_ready("nobody"))
    version = client.get_model_metadata("simple", query_params=query)["versions"][0]
    check.that("a model is ready by its version", client.is_model_ready("simple", version))
    check.that("another version is not ready", not client.is_model_ready("simple", "99"))
    e = check.raises("an unknown model", InferenceServerException, lambda: client.get_model_metadata("nobody"))
    check.that("an unknown model is told in Triton's words", e.message().startswith("Request for unknown model"), e.message())
    server = client.get_server_metadata(query_params=query)
    check.that("the server says who it is", server["name"] == "triton" and server["version"], server)
    for extension in ("binary_tensor_data", "model_repository", "model_configuration", "statistics", "classification"):
        check.that(f"the server says that it speaks {extension}", extension in server["extensions"], server)


def inference():
    for sent, answered in itertools.product(("json", "binary", "mixed"), ("json", "binary")):
        what, infer = f"{sent} there, {answered} back", asking(sent, answered)
        shared.add_and_subtract(check, what, infer)
        shared.identity(check, what, infer)
        shared.number_types(check, what, infer)
        shared.refusals(check, what, infer, "400", "404")
        shared.classes(check, what, infer)
    shared.example(check, "binary", asking())  # JSON of the client knows no NaN


def compression():
    for there, back in itertools.product((None, "gzip", "deflate"), repeat=2):
        for form in ("json", "binary"):
            infer = asking(form, form, request_compression_algorithm=there, response_compression_algorithm=back)
            what = f"{form}, {there} there, {back} back"
            shared.add_and_subtract(check, what, infer)
            shared.identity(check, what, infer)
            shared.refusals(check, what, infer, "400", "404")


def ids():
    given, _ = shared.sums(np.int32)
    for sent in ("json", "binary"):
        result = asking(sent, request_id="q7")("simple", given, None).get_response()
        check.equal(f"{sent}: the id is echoed", result["id"], "q7")
        check.equal(f"{sent}: the model's name is told", result["model_name"], "simple")


def many_at_once():
    asked = []
    for i in range(64):
        given, want = shared.sums(np.int32, 1 + i % 5, seed=i)
        asked.append((client.async_infer("simple", shared.inputs(triton, given)), want))
    for i, (pending, want) in enumerate(asked):
        result = pending.get_result()
        for name in want:
            check.that(f"question {i} of many: {name}", np.array_equal(result.as_numpy(name), want[name]))
    pending = client.async_infer("nobody", shared.inputs(triton, shared.sums(np.int32)[0]))
    check.raises("many at once: an unknown model", InferenceServerException, pending.get_result)


async def with_asyncio():
    async with triton_aio.InferenceServerClient(address) as c:
        check.that("asyncio: the server is ready", await c.is_server_ready())

        async def one(i):
            given, want = shared.sums(np.int32, 1 + i % 5, seed=i)
            binary, back = bool(i % 2), ("gzip", "deflate", None)[i % 3]
            result = await c.infer("simple", shared.inputs(triton_aio, given, binary_data=binary), response_compression_algorithm=back)
            for name in want:
                check.that(f"asyncio: question {i}, {name}", np.array_equal(result.as_numpy(name), want[name]))
        await asyncio.gather(*(one(i) for i in range(64)))


def documents():
    shared.described(check, "documents", client.get_model_metadata, client.get_model_config)
    shared.counted(check, "statistics", client.get_inference_statistics, asking())
    all_stats = client.get_inference_statistics()["model_stats"]
    check.that("statistics of all models", {s["name"] for s in all_stats} >= set(shared.TEST_MODELS), all_stats)
    shared.indexed(check, "index", client.get_model_repository_index())


def control():
    shared.controlled(check, "control", client)


for part in (health, inference, compression, ids, many_at_once, documents, control):
    part()
asyncio.run(with_asyncio())
check.done("tritonclient")
