"""The rival of the start-up benchmark: what a team writes first. Loads a model with xgboost and answers POST /predict with JSON."""
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import xgboost as xgb

booster = xgb.Booster(model_file=sys.argv[1])
booster.set_param({"nthread": 1})


class Handler(BaseHTTPRequestHandler):
    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(b"ready")

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        scores = booster.inplace_predict(np.array(rows, dtype=np.float32))
        self.reply(json.dumps([float(s) for s in scores]).encode())

    def log_message(self, *args):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
