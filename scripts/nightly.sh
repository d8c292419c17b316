#!/usr/bin/env bash
# What takes too long for every change: each fuzz target for a while (FUZZTIME, default 10m each), kill loops with many rounds
# (SERIN_KILLS, default 500; of releases SERIN_RELEASE_KILLS, default 1000), and rolling restarts under load (SERIN_RESTARTS, default 100).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh xgboost xgboost17 lightgbm mlflow
SERIN_KILLS=${SERIN_KILLS:-500} SERIN_RELEASE_KILLS=${SERIN_RELEASE_KILLS:-1000} go test -count=1 -timeout 4h -run 'Kill|Crash|Fault' ./...
SERIN_RESTARTS=${SERIN_RESTARTS:-100} go test -count=1 -timeout 1h -run RollingRestarts ./cmd/serin
for package in $(go list ./internal/...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "fuzzing $target of $package"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10m}" -fuzzminimizetime 5x "$package"
  done
done
