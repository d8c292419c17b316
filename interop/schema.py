"""Holds what a running server answers to the REST calls of the Open Inference Protocol, right ones and wrong ones, against the protocol's
own OpenAPI schema, from the shared test data.

usage: schema.py HTTP, an address HOST:PORT; the server has the example and the test models of interop/models.
"""
import json
import math
import sys
import urllib.error
import urllib.request

import jsonschema
import yaml

from checks import Checks, complete, example_rows, shared_data

address = sys.argv[1]
check = Checks()
path = shared_data("protocol", "oip", "open_inference_rest.yaml")
if path is None:
    sys.exit(0)
with open(path) as f:
    document = yaml.safe_load(f)
MODEL = "/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}"


def validator(schema):
    # The schemas of OpenAPI 3.0 are those of JSON Schema's draft 4 with keys more.
    return jsonschema.Draft4Validator({**schema, "components": document["components"]})


def error(name):
    """The schema of an error. The key is required, which one of the three forgets to say."""
    return {"allOf": [{"$ref": f"#/components/schemas/{name}"}, {"required": ["error"]}]}


def answered(operation, method, status):
    """The schema of the answer to an operation of the document; None where the document has none for the status."""
    responses = document["paths"][operation][method]["responses"]
    content = responses.get(str(status), {}).get("content")
    return content and content["application/json"]["schema"]


def call(method, path, body=None):
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as r:
            return r.status, r.headers, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def holds(what, status, schema, method, path, body=None):
    """Checks an answer's status, type and form."""
    got, headers, answer = call(method, path, body)
    check.equal(f"{what}: status", got, status)
    check.equal(f"{what}: content type", headers.get_content_type(), "application/json")
    answer = json.loads(answer, parse_constant=lambda name: check.fail(f"{what}: {name} is no JSON"))
    wrong = [e.message for e in validator(schema).iter_errors(answer)]
    check.that(f"{what}: the schema", not wrong, wrong, answer)
    return answer


def tensor(name, datatype, shape, data, **more):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def requests():
    """Right requests: to all models, in all forms that the protocol has."""
    rows = example_rows()
    rows = [rows[i] for i in complete(rows)]  # the schema knows no null for what is missing
    flat = [v for row in rows for v in row]
    numbers, text = list(range(16)), [str(i) for i in range(16)]
    yield "installs", {"inputs": [tensor("input", "FP32", [len(rows), len(rows[0])], rows)]}
    yield "installs", {"inputs": [tensor("input", "FP64", [len(rows), len(rows[0])], flat)]}
    outputs = [{"name": name} for name in ("contributions", "margin", "prediction")]
    yield "installs", {"id": "42", "inputs": [tensor("input", "FP32", [1, len(rows[0])], rows[0])], "outputs": outputs}
    parameters = {"text": "a", "flag": True, "number": 7, "none": None}
    yield "installs", {"inputs": [tensor("input", "FP32", [1, len(rows[0])], rows[0], parameters=parameters)], "parameters": parameters}
    for model, datatype, data in (("simple", "INT32", numbers), ("simple_int8", "INT8", numbers), ("simple_string", "BYTES", text)):
        yield model, {"inputs": [tensor(name, datatype, [1, 16], data) for name in ("INPUT0", "INPUT1")]}
    yield "simple_identity", {"inputs": [tensor("INPUT0", "BYTES", [2, 2], ["", "\0", "ü", "\u2028"])]}


def wrong_requests():
    good = tensor("INPUT0", "INT32", [1, 16], list(range(16)))
    both = [good, {**good, "name": "INPUT1"}]
    yield "no JSON", b"{"
    yield "not UTF-8", b'{"inputs": "\xff"}'
    yield "nothing", b""
    yield "a list", []
    yield "no inputs", {}
    yield "inputs of another type", {"inputs": {}}
    yield "no input", {"inputs": []}
    yield "one input of two", {"inputs": [good]}
    yield "an input twice", {"inputs": [good, good]}
    for key in ("name", "shape", "datatype", "data"):
        yield f"an input without {key}", {"inputs": [{k: v for k, v in good.items() if k != key}, both[1]]}
    for key, value in (
        ("shape", [15]), ("shape", [1, 17]), ("shape", [-1, 16]), ("shape", [2**40, 2**40]), ("shape", "16"), ("datatype", "INT31"),
        ("datatype", "BYTES"), ("data", list(range(15))), ("data", ["x"] * 16), ("data", [2**31] * 16), ("data", [0.5] * 16), ("data", None),
    ):
        yield f"{key} {value}", {"inputs": [{**good, key: value}, both[1]]}
    yield "an unknown output", {"inputs": both, "outputs": [{"name": "OUTPUT7"}]}
    yield "an output twice", {"inputs": both, "outputs": [{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]}
    yield "an output without a name", {"inputs": both, "outputs": [{}]}
    yield "deep nesting", b'{"inputs":' + b"[" * 100_000


def server():
    for path in ("/v2", "/v2/"):
        metadata = holds(f"metadata at {path}", 200, answered("/v2/", "get", 200), "GET", path)
        check.that("metadata of the server names extensions", metadata["extensions"])
    for what in ("live", "ready"):
        status, _, _ = call("GET", f"/v2/health/{what}")
        check.equal(f"/v2/health/{what}", status, 200)


def models():
    for model in ("installs", "simple", "simple_int8", "simple_string", "simple_identity"):
        metadata = holds(f"metadata of {model}", 200, answered(MODEL, "get", 200), "GET", f"/v2/models/{model}")
        check.that(f"metadata of {model} is whole", metadata["inputs"] and metadata["outputs"] and metadata["versions"], metadata)
        path = f"/v2/models/{model}/versions/{metadata['versions'][0]}"
        check.equal(f"metadata of {model} by its version", holds(path, 200, answered(MODEL, "get", 200), "GET", path), metadata)
        check.equal(f"readiness of {model}", call("GET", path + "/ready")[0], 200)
    for path in ("/v2/models/nobody", "/v2/models/simple/versions/99", "/v2/models/simple/versions/x"):
        holds(path, 404, error("metadata_model_error_response"), "GET", path)
        holds(path + "/ready", 404, error("metadata_model_error_response"), "GET", path + "/ready")


def inference():
    asked = validator({"$ref": "#/components/schemas/inference_request"})
    for i, (model, body) in enumerate(requests()):
        what = f"request {i} to {model}"
        check.that(f"{what} is one of the protocol's", asked.is_valid(body))
        answer = holds(what, 200, answered(MODEL + "/infer", "post", 200), "POST", f"/v2/models/{model}/infer", body)
        check.equal(f"{what}: the model and the id", (answer["model_name"], answer.get("id")), (model, body.get("id")))
        for output in answer["outputs"]:
            check.equal(f"{what}: {output['name']} has as many numbers as its shape says", len(output["data"]), math.prod(output["shape"]))


def wrong_inference():
    for what, body in wrong_requests():
        holds(what, 400, error("inference_error_response"), "POST", "/v2/models/simple/infer", body)
    good = {"inputs": [tensor(name, "INT32", [1, 16], list(range(16))) for name in ("INPUT0", "INPUT1")]}
    for status, method, path in (
        (404, "POST", "/v2/models/nobody/infer"), (404, "POST", "/v2/models/simple/versions/99/infer"),
        (405, "GET", "/v2/models/simple/infer"), (405, "POST", "/v2/models/simple"), (405, "PUT", "/v2/models/simple/infer"),
    ):
        holds(f"{method} {path}", status, error("inference_error_response"), method, path, None if method == "GET" else good)


for part in (server, models, inference, wrong_inference):
    part()
check.done("jsonschema")
