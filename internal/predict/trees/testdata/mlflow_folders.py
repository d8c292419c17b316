"""Saves models with MLflow, and writes what MLflow answers with them: mlflow_folders.py FOLDER

FOLDER/NAME is an MLflow model, and FOLDER/answers.json holds the rows and, by NAME, what python_function makes of them.
"""
import json
import sys
import warnings

import lightgbm
import mlflow
import mlflow.lightgbm
import mlflow.xgboost
import numpy
import pandas
import xgboost
from mlflow.models import infer_signature

warnings.simplefilter("ignore")
folder = sys.argv[1]
columns = ["age", "fare", "a name with spaces", "f3"]
random = numpy.random.default_rng(1)
values = random.normal(size=(300, 4)).astype("f4")  # so that float32 and float64 agree on every value
values[::7, 1] = numpy.nan
rows = pandas.DataFrame(values, columns=columns)
labels = (values[:, 0] + numpy.nan_to_num(values[:, 1]) > 0).astype(int)

booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, xgboost.DMatrix(rows, label=labels), 5)
signature = infer_signature(rows, booster.predict(xgboost.DMatrix(rows)))
for form in "xgb", "json", "ubj":
    mlflow.xgboost.save_model(booster, f"{folder}/xgboost_{form}", model_format=form, signature=signature, pip_requirements=["xgboost"],
                              input_example=rows.head(2) if form == "xgb" else None)
wrapper = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(rows, labels)
mlflow.xgboost.save_model(wrapper, f"{folder}/xgboost_wrapper", pip_requirements=["xgboost"])

booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(rows, label=labels), 5)
mlflow.lightgbm.save_model(booster, f"{folder}/lightgbm", signature=signature, pip_requirements=["lightgbm"])
wrapper = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(rows, labels)
mlflow.lightgbm.save_model(wrapper, f"{folder}/lightgbm_wrapper", pip_requirements=["lightgbm"], serialization_format="cloudpickle")

rows = rows.head(50)
answers = {}
for name in "xgboost_xgb", "xgboost_json", "xgboost_ubj", "xgboost_wrapper", "lightgbm", "lightgbm_wrapper":
    answers[name] = mlflow.pyfunc.load_model(f"{folder}/{name}").predict(rows).astype(float).tolist()
with open(f"{folder}/answers.json", "w") as out:
    flat = [None if v != v else v for v in rows.to_numpy(dtype=float).ravel().tolist()]
    json.dump({"version": mlflow.__version__, "columns": columns, "rows": flat, "answers": answers}, out)
