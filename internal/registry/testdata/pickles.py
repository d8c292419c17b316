"""Writes pickles of every protocol, as models and as plain data, into the folder given, and prints one line a file: name, kind."""
import bz2
import collections
import datetime
import fractions
import gzip
import io
import os
import pickle
import sys
import types
import zipfile
import zlib


def fake(module, name):
    """A class that pickles under the name of a library's class."""
    for i in range(module.count(".") + 1):
        part = ".".join(module.split(".")[: i + 1])
        sys.modules.setdefault(part, types.ModuleType(part))
    cls = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, cls)
    made = cls()
    made.n_features_in_ = 4
    made.raw = bytes(range(256)) * 40
    made.names = ["a", "b\n", "c" * 300]
    return made


def with_parameters(made):
    made.booster = "tree\nversion=v4\n[boosting: gbdt]\n[xgboost_dart_mode: 0]\n"
    return made


class Run:
    """What an attacker would send; nothing here loads it."""

    def __reduce__(self):
        return (os.system, ("true",))


models = {
    "xgboost": fake("xgboost.sklearn", "XGBClassifier"),
    "lightgbm": with_parameters(fake("lightgbm.sklearn", "LGBMClassifier")),
    "sklearn": fake("sklearn.ensemble._forest", "RandomForestClassifier"),
    "torch": fake("torch.nn.modules.linear", "Linear"),
    "joblib": fake("joblib.numpy_pickle", "NumpyArrayWrapper"),
    "plain class": fake("my_project.model", "Model"),
    "attack": Run(),
    "nested": {"weights": [1.5] * 50, "model": fake("sklearn.svm._classes", "SVC")},
    "dates": [datetime.date(2026, 1, 2), fractions.Fraction(1, 3), collections.OrderedDict(a=1)],
    "weights": {"w": [1, 2.5, -3, 10**30, None, True], "name": "m", "raw": b"\x00\xff" * 300, "set": (1, 2)},
    "list": list(range(1000)),
    "text": ["x" * 1000, "é", "line\nbreak"],
}
out = sys.argv[1]


def write(name, content):
    with open(os.path.join(out, name), "wb") as f:
        f.write(content)
    print(name)


for name, model in models.items():
    for protocol in range(6):
        content = pickle.dumps(model, protocol)
        pickle_name = "%s-%d" % (name.replace(" ", "-"), protocol)
        write(pickle_name, content)
        if name not in ("sklearn", "attack", "weights"):
            continue
        write(pickle_name + "-gzip", gzip.compress(content))
        write(pickle_name + "-zlib", zlib.compress(content))
        write(pickle_name + "-bz2", bz2.compress(content))
        write(pickle_name + "-gzip-gzip", gzip.compress(gzip.compress(content)))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("readme.txt", "hello")
            z.writestr("deep/model.json", content)
        write(pickle_name + "-zip", archive.getvalue())
        write(pickle_name + "-zip-after-text", b"some text\n" * 50 + archive.getvalue())
        write(pickle_name + "-zip-gzip", gzip.compress(archive.getvalue()))
        # As joblib does: raw bytes of arrays lie in the stream, which ends the pickle for those who do not know it.
        write(pickle_name + "-garbage-after", content[:-1] + os.urandom(500) if name == "sklearn" else content)
