#!/usr/bin/env bash
# Makes the Python virtual environment .venv/NAME from scripts/venv/NAME.txt, once: again only when that file changes. Where there is a
# scripts/venv/NAME.system, its lines are the system's libraries that the packages load, each with the Debian package that has it.
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
  missing=''
  if [ -f "scripts/venv/$name.system" ]; then
    while read -r library package; do
      if python3 -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null; then continue; fi
      if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq "$package" >/dev/null
      else
        missing="$missing $package"
      fi
    done <"scripts/venv/$name.system"
  fi
  if [ -n "$missing" ]; then
    echo "SKIP venv $name: a library of the system is absent (apt-get install$missing)"
    if [ "${CI:-}" = true ]; then exit 1; fi
    continue
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
