#!/usr/bin/env bash
# Makes the Python virtual environment .venv/NAME from scripts/venv/NAME.txt, once: again only when that file changes.
# usage: scripts/venv.sh NAME...
set -euo pipefail
cd "$(dirname "$0")/.."
for name in "$@"; do
  want=scripts/venv/$name.txt dir=.venv/$name
  if [ -f "$dir/.made-from" ] && cmp -s "$want" "$dir/.made-from"; then continue; fi
  if ! command -v python3 >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && apt-get install -y -qq python3 python3-venv >/dev/null
    else
      echo "SKIP venv $name: python3 is absent (apt-get install python3 python3-venv)"
      if [ "${CI:-}" = true ]; then exit 1; fi
      continue
    fi
  fi
  rm -rf "$dir"
  if ! python3 -m venv "$dir"; then # Debian splits venv from python3
    if [ "$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; fi
    python3 -m venv "$dir"
  fi
  # --no-deps: the file names every package, so that xgboost does not bring its GPU libraries along
  "$dir/bin/python" -m pip install --quiet --no-deps -r "$want"
  cp "$want" "$dir/.made-from"
  echo "made $dir"
done
