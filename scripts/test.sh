#!/usr/bin/env bash
# All tests: first plainly, with the real libraries as oracles and real servers as neighbours; then the quick ones under the race detector.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh xgboost xgboost17 lightgbm mlflow openapi seldon smtp
scripts/servers.sh
go test -timeout 20m "$@" ./...

# The race detector needs a C compiler.
command -v gcc >/dev/null || scripts/debian.sh gcc libc6-dev
if command -v gcc >/dev/null; then
  CGO_ENABLED=1 go test -race -short -timeout 20m ./...
else
  echo "SKIP race detector: no C compiler"
fi
