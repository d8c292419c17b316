#!/usr/bin/env bash
# Installs the servers that Serin stands beside in tests and benchmarks, where they are missing: NGINX, Node.js and Prometheus.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin # where Debian has NGINX
command -v nginx >/dev/null || scripts/debian.sh nginx
command -v node >/dev/null || scripts/debian.sh nodejs
command -v prometheus >/dev/null || scripts/debian.sh prometheus
