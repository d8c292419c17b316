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
    scripts/debian.sh python3 python3-venv
    command -v python3 >/dev/null || continue
  fi
  missing=''
  if [ -f "scripts/venv/$name.system" ]; then
    while read -r library package; do
      if python3 -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null; then continue; fi
      scripts/debian.sh "$package" </dev/null
      python3 -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null || missing="$missing $library"
    done <"scripts/venv/$name.system"
  fi
  if [ -n "$missing" ]; then
    echo "SKIP venv $name: without$missing its packages cannot be loaded"
    if [ "${CI:-}" = true ]; then exit 1; fi
    continue
  fi
  rm -rf "$dir"
  if ! python3 -m venv "$dir"; then # Debian splits venv from python3
    scripts/debian.sh python3-venv
    python3 -m venv "$dir"
  fi
  # --no-deps: the file names every package, so that xgboost does not bring its GPU libraries along
  "$dir/bin/python" -m pip install --quiet --no-deps -r "$want"
  cp "$want" "$dir/.made-from"
  echo "made $dir"
done
