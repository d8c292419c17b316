"""What Triton's two clients, for HTTP and for gRPC, are both asked. Their modules have the same names for most things."""
import random
import string

import numpy as np
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from checks import example_answers, example_columns, example_rows

TEST_MODELS = {"simple": np.int32, "simple_int8": np.int8, "simple_string": np.object_}


def inputs(triton, arrays, **how):
    """Arrays, by name, as a client's inputs."""
    given = []
    for name, x in arrays.items():
        t = triton.InferInput(name, list(x.shape), np_to_triton_dtype(x.dtype))
        t.set_data_from_numpy(x, **how)
        given.append(t)
    return given


def outputs(triton, *names, **how):
    """Outputs to ask for."""
    return [triton.InferRequestedOutput(name, **how) for name in names]


def same(got, want):
    """Whether two arrays hold the same. Text comes as bytes in a binary tensor, as a string in JSON."""
    if got is None or got.dtype != np.object_:
        return got is not None and got.dtype == want.dtype and np.array_equal(got, want)
    text = [v.encode() if isinstance(v, str) else v for v in got.flatten()]
    return got.shape == want.shape and text == [bytes(v) for v in want.astype(np.object_).flatten()]


def sums(dtype, rows=1, seed=1):
    """Inputs of a model that adds and subtracts, and the sums and differences that it must give."""
    draw = np.random.default_rng(seed)
    kind = np.int32 if dtype is np.object_ else dtype
    a, b = (draw.integers(-60, 60, (rows, 16)).astype(kind) for _ in range(2))
    if dtype is np.object_:
        def text(x):
            return np.array([str(v).encode() for v in x.flatten()], np.object_).reshape(x.shape)
        return {"INPUT0": text(a), "INPUT1": text(b)}, {"OUTPUT0": text(a + b), "OUTPUT1": text(a - b)}
    return {"INPUT0": a, "INPUT1": b}, {"OUTPUT0": a + b, "OUTPUT1": a - b}


def texts():
    """Arrays of text that something on the way may break, by what is special about them."""
    draw = random.Random(1)
    long = "".join(draw.choices(string.printable, k=100_000)).encode()
    return {
        "a null in the middle": np.array([[b"he\0llo"] * 16], np.object_),
        "bytes of fixed length": np.array([[b"\0\1\2\3"] * 16], np.bytes_),
        "letters of other scripts": np.array([["grüße".encode(), "серин".encode()], ["🐤".encode(), "\u2028".encode()]], np.object_),
        "empty ones": np.array([[b"", b"x", b""]], np.object_),
        "quotes and controls": np.array([[b'"\\\x1f\x7f/', b"\n\t\r"]], np.object_),
        "a long one": np.array([[long]], np.object_),
    }


def add_and_subtract(check, what, infer):
    """infer(model, arrays, outputs) gives the result of the models that add and subtract; outputs None asks for none by name."""
    for model, dtype in TEST_MODELS.items():
        for rows in (1, 3):
            given, want = sums(dtype, rows)
            for names in (None, ("OUTPUT0", "OUTPUT1"), ("OUTPUT1", "OUTPUT0"), ("OUTPUT1",)):
                result = infer(model, given, names)
                for name in names or want:
                    got = result.as_numpy(name)
                    check.that(f"{what}: {model}, {rows} rows, {name} of {names}", same(got, want[name]), got, want[name])
                if names == ("OUTPUT1",):
                    check.that(f"{what}: {model} gives no output that was not asked for", result.as_numpy("OUTPUT0") is None)


def identity(check, what, infer):
    for name, x in texts().items():
        got = infer("simple_identity", {"INPUT0": x}, ("OUTPUT0",)).as_numpy("OUTPUT0")
        check.that(f"{what}: {name}", same(got, x), got)


def example(check, what, infer):
    """Every row of the example, alone and all at once, is exactly what XGBoost computed."""
    rows = np.array(example_rows(), np.float32)
    want = {name: np.array(example_answers(name), np.float32) for name in ("prediction", "margin")}
    for i in [*range(len(rows)), slice(None)]:
        batch = slice(i, i + 1) if isinstance(i, int) else i
        result = infer("installs", {"input": rows[batch]}, ("prediction", "margin"))
        for name in want:
            got = result.as_numpy(name)
            check.that(f"{what}: {name} of row {i}", same(got, want[name][batch]), got, want[name][batch])
    got = infer("installs", {"input": rows}, ("contributions",)).as_numpy("contributions")
    check.that(f"{what}: contributions add up to the margin", np.allclose(got.sum(axis=1), want["margin"], rtol=0, atol=1e-5))


def number_types(check, what, infer):
    """Numbers of each type are taken for what they are."""
    whole = np.array([[3, 1, 7, 0, 1, 9, 100, 1] * 7])
    want = infer("installs", {"input": whole.astype(np.float32)}, ("prediction",)).as_numpy("prediction")
    for dtype in (np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64):
        got = infer("installs", {"input": whole.astype(dtype)}, ("prediction",)).as_numpy("prediction")
        check.that(f"{what}: {np.dtype(dtype).name}", same(got, want), got, want)


def refusals(check, what, infer, invalid, unknown):
    """What is wrong is refused with the status that says so, and told."""
    row, (given, _) = np.zeros((1, 56), np.float32), sums(np.int32)
    for why, status, ask in (
        ("a wrong width", invalid, lambda: infer("installs", {"input": np.zeros((1, 55), np.float32)}, None)),
        ("no rows", invalid, lambda: infer("installs", {"input": np.zeros((0, 56), np.float32)}, None)),
        ("infinity", invalid, lambda: infer("installs", {"input": np.full((1, 56), np.inf, np.float32)}, None)),
        ("text for numbers", invalid, lambda: infer("installs", {"input": row.astype(str).astype(np.object_)}, None)),
        ("an unknown input", invalid, lambda: infer("installs", {"inputs": row}, None)),
        ("an unknown output", invalid, lambda: infer("installs", {"input": row}, ("predictions",))),
        ("one input of two", invalid, lambda: infer("simple", {"INPUT0": given["INPUT0"]}, None)),
        ("one input too many", invalid, lambda: infer("simple", {**given, "INPUT2": given["INPUT0"]}, None)),
        ("inputs of different rows", invalid, lambda: infer("simple", {**given, "INPUT1": np.zeros((2, 16), np.int32)}, None)),
        ("an unknown model", unknown, lambda: infer("nobody", given, None)),
    ):
        e = check.raises(f"{what}: {why}", InferenceServerException, ask)
        check.that(f"{what}: {why} has the status {status}", e.status() == status and e.message(), e.status(), e.message())


def described(check, what, metadata, config):
    """What the server tells of its models, as dicts, is what they are."""
    m = metadata("simple")
    shapes = [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in m["inputs"] + m["outputs"]]
    check.equal(f"{what}: metadata", shapes, [(name, "INT32", [-1, 16]) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")])
    check.equal(f"{what}: metadata has the name", m["name"], "simple")
    m = metadata("installs")
    check.equal(f"{what}: metadata of the example", (m["inputs"][0]["name"], int(m["inputs"][0]["shape"][1])), ("input", len(example_columns())))
    c = config("simple_string")
    dims = [(t["name"], t["data_type"], [int(n) for n in t["dims"]]) for t in c["input"] + c["output"]]
    check.equal(f"{what}: configuration", dims, [(name, "TYPE_STRING", [16]) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")])
    check.that(f"{what}: configuration says that it takes batches", c["max_batch_size"] > 1, c)
    for ask in (metadata, config):
        check.raises(f"{what}: an unknown model", InferenceServerException, lambda: ask("nobody"))


def classes(check, what, infer):
    """The classification extension: the largest values of each row, each with its place."""
    given, want = sums(np.int32, 2)
    got = infer("simple", given, ("OUTPUT0",), class_count=3).as_numpy("OUTPUT0")
    check.equal(f"{what}: three classes of each row", got.shape, (2, 3))
    for row, values in zip(got, want["OUTPUT0"]):
        told = [(text if isinstance(text, str) else text.decode()).split(":") for text in row]
        order = sorted(range(16), key=lambda i: (-values[i], i))[:3]
        check.equal(f"{what}: classes are the largest values", [(float(v), int(i)) for v, i in told], [(values[i], i) for i in order])


def counted(check, what, statistics, infer):
    """What was asked is counted: statistics(model) is a dict."""
    def successes():
        (stats,) = statistics("simple")["model_stats"]
        check.equal(f"{what}: statistics have the name", stats["name"], "simple")
        return int(stats["inference_stats"]["success"]["count"])

    before = successes()
    given, _ = sums(np.int32)
    for _ in range(5):
        infer("simple", given, None)
    check.equal(f"{what}: five requests more are counted", successes(), before + 5)


def indexed(check, what, entries):
    """The index of the repository, a list of dicts, holds every model once, ready."""
    states = {e["name"]: e["state"] for e in entries}
    check.equal(f"{what}: the index has every model once", len(states), len(entries))
    for model in [*TEST_MODELS, "simple_identity", "installs"]:
        check.equal(f"{what}: the index has {model}", states.get(model), "READY")


def controlled(check, what, client):
    """Clients load and unload models, as far as the registry has them."""
    client.load_model("simple_int8")
    check.that(f"{what}: a loaded model is ready", client.is_model_ready("simple_int8"))
    client.unload_model("simple_int8")
    check.that(f"{what}: an unloaded model is not ready", not client.is_model_ready("simple_int8"))
    check.that(f"{what}: the others are", client.is_model_ready("simple"))
    client.load_model("simple_int8")
    check.that(f"{what}: a model that is loaded again is ready", client.is_model_ready("simple_int8"))
    for why, ask in (
        ("an unknown model", lambda: client.load_model("nobody")),
        ("a configuration that is none", lambda: client.load_model("simple", config="{{")),
        ("a configuration", lambda: client.load_model("simple", config='{"max_batch_size": 16}')),
    ):
        e = check.raises(f"{what}: {why}", InferenceServerException, ask)
        check.that(f"{what}: {why} is told", "failed to load" in e.message(), e.message())
    check.raises(f"{what}: an unknown model to unload", InferenceServerException, lambda: client.unload_model("nobody"))
