#!/usr/bin/env bash
# All tests: first plainly, with the real libraries as oracles; then the quick ones under the race detector.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh xgboost xgboost17 lightgbm mlflow openapi
go test -timeout 20m "$@" ./...

# The race detector needs a C compiler.
if ! command -v gcc >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && apt-get install -y -qq gcc libc6-dev >/dev/null
fi
if command -v gcc >/dev/null; then
  CGO_ENABLED=1 go test -race -short -timeout 20m ./...
else
  echo "SKIP race detector: no C compiler (apt-get install gcc libc6-dev)"
  if [ "${CI:-}" = true ]; then exit 1; fi
fi
