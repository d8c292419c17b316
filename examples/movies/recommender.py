#!/usr/bin/env python3
"""A movie recommender over HTTP, as small as one can be: GET /recommend/<userid> answers with five films, best first.

It stands for any model in a container. Version 1 recommends what most people liked; version 2 what people with the same tastes liked. The
films are old ones, the tastes made up: a user's are drawn from the id, so that every instance of a version gives the same answer.

Usage: recommender.py --port 8082 --model 1.4.0 [--delay 0.6]
"""

import argparse
import hashlib
import http.server
import json
import re
import time

# Film: how much people liked it, and how much of it is comedy, horror and adventure.
FILMS = {
    "The General": (0.91, (0.7, 0.0, 0.6)),
    "Metropolis": (0.90, (0.0, 0.3, 0.7)),
    "Sherlock Jr.": (0.88, (0.9, 0.0, 0.4)),
    "Nosferatu": (0.86, (0.0, 1.0, 0.2)),
    "The Gold Rush": (0.85, (0.9, 0.0, 0.5)),
    "The Phantom of the Opera": (0.81, (0.0, 0.9, 0.3)),
    "A Trip to the Moon": (0.80, (0.5, 0.0, 0.9)),
    "The Cabinet of Dr. Caligari": (0.79, (0.0, 0.9, 0.1)),
    "Safety Last!": (0.78, (1.0, 0.0, 0.5)),
    "The Thief of Bagdad": (0.77, (0.3, 0.0, 1.0)),
    "The Lost World": (0.71, (0.1, 0.3, 1.0)),
    "The Golem": (0.70, (0.0, 0.8, 0.4)),
}


def recommend(user: str, model: str) -> list[str]:
    """Returns five films for a user, best first."""
    if model.startswith("1."):
        score = {film: liked for film, (liked, _) in FILMS.items()}
    else:
        tastes = [byte / 255 for byte in hashlib.sha256(user.encode()).digest()[:3]]
        score = {film: liked + sum(a * b for a, b in zip(tastes, kinds)) for film, (liked, kinds) in FILMS.items()}
    return sorted(score, key=lambda film: (-score[film], film))[:5]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    wbufsize = -1  # an answer is sent in one piece: who is killed has sent all of it, or nothing
    disable_nagle_algorithm = True
    model = ""
    delay = 0.0

    def do_GET(self):
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/recommend/(\w{1,64})", path, re.ASCII):
            time.sleep(self.delay)
            self.answer(200, {"user": found[1], "movies": recommend(found[1], self.model), "model": self.model})
        elif path == "/healthz":
            self.answer(200, {"ok": True})
        else:
            self.answer(404, {"error": "there is GET /recommend/<userid>"})

    def answer(self, status: int, value: dict):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # whoever asked has gone


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="1.4.0", help="the version: 1.* or 2.*")
    parser.add_argument("--delay", type=float, default=0, help="how many seconds it thinks about each answer")
    args = parser.parse_args()
    Handler.model, Handler.delay = args.model, args.delay
    Server(("127.0.0.1", args.port), Handler).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
