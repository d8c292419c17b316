"""Asks a running server with Triton's own gRPC client, unmodified, and with the protocol's stubs that come with it.

usage: triton_grpc.py GRPC, an address HOST:PORT; the server has the example and the test models of interop/models.
"""
import asyncio
import queue
import sys

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, deserialize_bytes_tensor, serialize_byte_tensor

import triton_shared as shared
from checks import Checks, example_answers, example_rows, float32

address = sys.argv[1]
client = triton.InferenceServerClient(address)
check = Checks()
INVALID, UNKNOWN = "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"


def asking(**how):
    def infer(model, arrays, names, **wish):
        return client.infer(model, shared.inputs(triton, arrays), outputs=names and shared.outputs(triton, *names, **wish), **how)
    return infer


def health():
    check.that("the server is live", client.is_server_live(headers={"test": "1"}))
    check.that("the server is ready", client.is_server_ready())
    check.that("a model is ready", client.is_model_ready("simple"))
    check.that("a model is ready by its version", client.is_model_ready("simple", client.get_model_metadata("simple").versions[0]))
    e = check.raises("an unknown model", InferenceServerException, lambda: client.get_model_metadata("nobody"))
    check.that("an unknown model is told in Triton's words", e.message().startswith("Request for unknown model"), e.message())
    server = client.get_server_metadata(as_json=True)
    check.that("the server says who it is", server["name"] == "triton" and server["version"], server)
    for extension in ("model_repository", "model_configuration", "statistics", "classification"):
        check.that(f"the server says that it speaks {extension}", extension in server["extensions"], server)
    try:
        check.that("an unknown model is not ready", not client.is_model_ready("nobody"))
    except InferenceServerException as e:
        check.equal("an unknown model is not ready", e.status(), UNKNOWN)


def inference():
    for compression in (None, "gzip", "deflate"):
        what, infer = f"compression {compression}", asking(compression_algorithm=compression)
        shared.add_and_subtract(check, what, infer)
        shared.identity(check, what, infer)
        shared.example(check, what, infer)
        shared.number_types(check, what, infer)
        shared.classes(check, what, infer)
        shared.refusals(check, what, infer, INVALID, UNKNOWN)
    given, _ = shared.sums(np.int32)
    response = asking(request_id="q7")("simple", given, None).get_response()
    check.equal("the id is echoed", (response.id, response.model_name), ("q7", "simple"))


def many_at_once():
    answers = queue.Queue()
    wants = {}
    for i in range(64):
        given, want = shared.sums(np.int32, 1 + i % 5, seed=i)
        wants[str(i)] = want
        client.async_infer("simple", shared.inputs(triton, given), lambda result, error: answers.put((result, error)), request_id=str(i))
    for _ in range(len(wants)):
        result, error = answers.get(timeout=60)
        check.that("a question of many is answered", error is None, error)
        want = wants.pop(result.get_response().id)
        for name in want:
            check.that(f"a question of many: {name}", shared.same(result.as_numpy(name), want[name]))


def streamed():
    """The same over one stream, on which a refusal is an answer like others."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    given, want = shared.sums(np.int32, 2)
    for i in range(16):
        client.async_stream_infer("simple", shared.inputs(triton, given), request_id=str(i))
    client.async_stream_infer("nobody", shared.inputs(triton, given))
    got, errors = set(), []
    for _ in range(17):
        result, error = answers.get(timeout=60)
        if error is not None:
            errors.append(error)
            continue
        got.add(result.get_response().id)
        for name in want:
            check.that(f"on a stream: {name}", shared.same(result.as_numpy(name), want[name]))
    client.stop_stream()
    check.equal("on a stream: every question is answered", got, {str(i) for i in range(16)})
    check.that("on a stream: an unknown model is refused", len(errors) == 1 and "nobody" in errors[0].message(), errors)


async def with_asyncio():
    async with triton_aio.InferenceServerClient(address) as c:
        check.that("asyncio: the server is ready", await c.is_server_ready())

        async def one(i):
            given, want = shared.sums(np.int32, 1 + i % 5, seed=i)
            result = await c.infer("simple", shared.inputs(triton_aio, given))
            for name in want:
                check.that(f"asyncio: question {i}, {name}", shared.same(result.as_numpy(name), want[name]))
        await asyncio.gather(*(one(i) for i in range(64)))


def typed(model, datatype, field, values, raw=None):
    """A request to one of the models that add and subtract, with values in typed contents, and maybe raw ones beside."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name in ("INPUT0", "INPUT1"):
        t = request.inputs.add(name=name, datatype=datatype, shape=[1, 16])
        getattr(t.contents, field).extend(values)
    request.raw_input_contents.extend(raw or [])
    return request


def numbers(response, dtype):
    """The first output of an answer, raw or typed."""
    if response.raw_output_contents:
        raw = response.raw_output_contents[0]
        return [int(v) for v in (deserialize_bytes_tensor(raw) if dtype is None else np.frombuffer(raw, dtype))]
    contents = response.outputs[0].contents
    return [int(v) for v in (contents.bytes_contents if dtype is None else contents.int_contents)]


def stubs():
    """Typed contents, as clients other than Triton's send them, and what no client of Triton's can send."""
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        double = [2 * i for i in range(16)]
        for model, datatype, field, values, dtype in (
            ("simple", "INT32", "int_contents", range(16), np.int32),
            ("simple_int8", "INT8", "int_contents", range(16), np.int8),
            ("simple_string", "BYTES", "bytes_contents", [str(i).encode() for i in range(16)], None),
        ):
            check.equal(f"typed contents: {model}", numbers(stub.ModelInfer(typed(model, datatype, field, values)), dtype), double)
        raw = np.arange(16, dtype=np.int32).tobytes()
        cut = serialize_byte_tensor(np.array([[b"1"] * 16], np.object_)).item()[:-1]

        def alone(model, datatype, *contents):
            return typed(model, datatype, "int_contents", [], contents)

        for why, request in (
            ("typed and raw contents", typed("simple", "INT32", "int_contents", range(16), [raw, raw])),
            ("too few values", typed("simple", "INT32", "int_contents", range(15))),
            ("values in another type's field", typed("simple", "INT32", "fp32_contents", range(16))),
            ("a number that the type cannot hold", typed("simple_int8", "INT8", "int_contents", [128] * 16)),
            ("one raw content for two inputs", alone("simple", "INT32", raw)),
            ("three raw contents for two inputs", alone("simple", "INT32", raw, raw, raw)),
            ("raw contents that are short", alone("simple", "INT32", raw, raw[:-1])),
            ("raw text that is cut", alone("simple_string", "BYTES", cut, cut)),
            ("an unknown datatype", alone("simple", "INT33", raw, raw)),
        ):
            e = check.raises(why, grpc.RpcError, lambda: stub.ModelInfer(request))
            check.that(f"{why} is told", e.code() == grpc.StatusCode.INVALID_ARGUMENT and e.details(), e)

        request = service_pb2.ModelInferRequest(model_name="installs")
        request.inputs.add(name="input", datatype="FP32", shape=[1, 56]).contents.fp32_contents.extend(example_rows()[0])
        response = stub.ModelInfer(request)
        got = np.frombuffer(response.raw_output_contents[0], np.float32)[0] if response.raw_output_contents else response.outputs[0].contents.fp32_contents[0]
        check.equal("typed contents: the example's first row", float32(got), example_answers()[0])
        for raw_bytes in (b"", b"\0"):
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", request_serializer=bytes, response_deserializer=bytes)
            e = check.raises("a message that is none", grpc.RpcError, lambda: call(raw_bytes))
            check.that("a message that is none is told", e.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), e)
        call = channel.unary_unary("/inference.GRPCInferenceService/Nothing", request_serializer=bytes, response_deserializer=bytes)
        e = check.raises("a method that is none", grpc.RpcError, lambda: call(b""))
        check.equal("a method that is none", e.code(), grpc.StatusCode.UNIMPLEMENTED)


def documents():
    shared.described(
        check, "documents", lambda model: client.get_model_metadata(model, as_json=True),
        lambda model: client.get_model_config(model, as_json=True)["config"],
    )
    shared.counted(check, "statistics", lambda model: client.get_inference_statistics(model, as_json=True), asking())
    shared.indexed(check, "index", client.get_model_repository_index(as_json=True)["models"])


def control():
    shared.controlled(check, "control", client)


for part in (health, inference, many_at_once, streamed, stubs, documents, control):
    part()
asyncio.run(with_asyncio())
check.done("tritonclient")
