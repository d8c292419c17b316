#!/usr/bin/env bash
# Compiles internal/wire/proto/*.proto into internal/wire/proto/descriptors.binpb, which the program embeds for gRPC's reflection.
# `make test` fails where the two do not agree.
set -euo pipefail
cd "$(dirname "$0")/.."
touch internal/wire/proto/descriptors.binpb # embedded: it must be there before it is made
go test ./internal/wire -run '^TestDescriptorsAreThoseOfTheProtoFiles$' -update
