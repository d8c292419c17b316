#!/usr/bin/env bash
# Real clients from PyPI, unmodified, against running servers: bin/serin with the example alone, and the same with the test models of
# interop/models and the models of the shared test data beside. Ends at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# Python environments: the first may have to install Python, the others are made beside each other.
scripts/venv.sh clients
made=()
for name in kserve seldon mlflow mlserver; do
  scripts/venv.sh "$name" &
  made+=($!)
done
for pid in "${made[@]}"; do wait "$pid"; done
go build -o bin/interop-server ./interop/server

dir=$(mktemp -d)
servers=()
finish() {
  code=$?
  for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${servers[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ "$code" != 0 ]; then tail -n 20 "$dir"/*.log || true; fi
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT

# start NAME COMMAND...: starts a server, waits until it is ready, and sets http and grpc to its addresses.
start() {
  local name=$1 line
  shift
  http='' grpc=''
  mkfifo "$dir/$name.events"
  "$@" >"$dir/$name.events" 2>"$dir/$name.log" &
  servers+=($!)
  while read -r line; do # the server says where it listens, then that it is ready
    case $line in
      *'"event":"listening"'*)
        http=$(sed 's/.*"http":"\([^"]*\)".*/\1/' <<<"$line")
        grpc=$(sed 's/.*"grpc":"\([^"]*\)".*/\1/' <<<"$line")
        ;;
      *'"event":"ready"'*) return ;;
    esac
  done <"$dir/$name.events"
  echo "the server $name did not become ready"
  return 1
}

passed=0
# ask VENV SCRIPT ARGUMENT...: runs a script of interop/, and adds up what it checked.
ask() {
  local venv=$1 script=$2 line
  shift 2
  if [ ! -x ".venv/$venv/bin/python" ]; then
    echo "SKIP interop/$script: its Python environment is absent (scripts/venv.sh $venv)"
    if [ "${CI:-}" = true ]; then exit 1; fi
    return
  fi
  line=$(".venv/$venv/bin/python" "interop/$script" "$@")
  printf '%-20s %s\n' "$script" "$line"
  passed=$((passed + $(sed -n 's/.*: \([0-9]*\) passed, 0 failed$/\1/p' <<<"$line" | tail -n 1)))
}

bin/serin model import installs examples/installs/model --data-dir "$dir/alone" >/dev/null
start alone bin/serin serve --json -c interop/serin.yaml --data-dir "$dir/alone" --http 127.0.0.1:0 --grpc 127.0.0.1:0 --control 127.0.0.1:0
ask seldon seldon_client.py "$http" "$grpc" "$dir/alone"
ask mlflow mlflow_client.py "$http"

models=(installs=examples/installs/model)
for folder in interop/models/*; do models+=("${folder##*/}=$folder"); done
shared=${SERIN_TEST_DATA:-../shared/data}/trees/kserve
if [ -d "$shared" ]; then models+=("iris=$shared/xgboost_2.0.3_iris.json" "iris-bst=$shared/xgboost_iris.bst"); fi
start all bin/interop-server -data-dir "$dir/all" "${models[@]}"
ask clients triton_http.py "$http"
ask clients triton_grpc.py "$grpc"
ask kserve kserve_client.py "$http" "$grpc"
ask clients schema.py "$http"
ask clients protocol_bodies.py "$http" "$grpc"

# MLServer with the example's model, on ports that were free, and Serin before it.
if [ -x .venv/mlserver/bin/python ]; then
  read -r -a ports < <(.venv/mlserver/bin/python -c '
import socket
all = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in all))')
  mkdir "$dir/mlserver"
  echo '{"host": "127.0.0.1", "http_port": '"${ports[0]}"', "grpc_port": '"${ports[1]}"', "metrics_port": '"${ports[2]}"', "parallel_workers": 0,
    "debug": false, "metrics_endpoint": null}' >"$dir/mlserver/settings.json"
  echo '{"name": "installs", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": "'"$PWD"'/examples/installs/model/model.ubj"}}' \
    >"$dir/mlserver/model-settings.json"
  (cd "$dir/mlserver" && exec "$OLDPWD/.venv/mlserver/bin/python" -c 'from mlserver.cli import main; main()' start .) >"$dir/mlserver.log" 2>&1 &
  servers+=($!)
  sed "s/MLSERVER/127.0.0.1:${ports[0]}/" interop/upstreams.yaml >"$dir/upstreams.yaml"
  start before bin/serin serve --json -c "$dir/upstreams.yaml" --data-dir "$dir/before" --http 127.0.0.1:0 --grpc 127.0.0.1:0 --control 127.0.0.1:0
fi
ask mlserver upstream_mlserver.py "$http" "127.0.0.1:${ports[0]:-0}"
echo "$passed passed, 0 failed"
