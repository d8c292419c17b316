#!/usr/bin/env bash
# Installs Debian packages, as root. Where that cannot be done it says SKIP, and fails if CI=true. No service that a package brings is
# started: who needs one runs it with a configuration of its own.
# usage: command -v PROGRAM >/dev/null || scripts/debian.sh PACKAGE...
set -euo pipefail
skip() {
  echo "SKIP $packages: $1 (apt-get install $packages)"
  if [ "${CI:-}" = true ]; then exit 1; fi
  exit 0
}
packages=$*
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then skip "not installed, and this is not root on a Debian"; fi
policy=/usr/sbin/policy-rc.d # which Debian asks before it starts a service; 101 forbids it
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
apt-get update -qq || true # an old list may do
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || skip "cannot be installed"
