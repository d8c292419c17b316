#!/usr/bin/env bash
# Real clients from PyPI, unmodified, against a running server with the example model.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh clients
dir=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
bin/serin model import installs examples/installs/model --data-dir "$dir"
mkfifo "$dir/events"
bin/serin serve --json --data-dir "$dir" --http 127.0.0.1:0 --grpc 127.0.0.1:0 --control 127.0.0.1:0 >"$dir/events" 2>"$dir/log" &
server=$!
address=
while read -r line; do # the server says where it listens, then that it is ready
  case $line in
    *'"event":"listening"'*) address=$(sed 's/.*"http":"\([^"]*\)".*/\1/' <<<"$line") ;;
    *'"event":"ready"'*) break ;;
  esac
done <"$dir/events"
if [ -z "$address" ]; then cat "$dir/log"; exit 1; fi
.venv/clients/bin/python interop/triton_client.py "$address"
