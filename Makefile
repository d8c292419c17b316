# make run   builds Serin, serves the example model and asks it
# make ab    is an A/B test: two versions, a simulated public, and what was measured
# make test  passes all tests, fetching what they need
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: build run ab test lint bench interop nightly clean

build: ## a static binary: bin/serin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/serin ./cmd/serin

run: build ## import, serve and ask the example model; Ctrl-C drains and stops
	@$(GO) build -o bin/installs-run ./examples/installs/run # not go run: that fails when interrupted, whatever its program says
	@bin/installs-run

ab: build ## an A/B test with a simulated public, in half a minute
	@$(GO) build -o bin/installs-run ./examples/installs/run
	@$(GO) build -o bin/installs-public ./examples/installs/public
	@bin/installs-run ab

test: build ## all tests, with the real libraries beside
	scripts/test.sh

lint: ## golangci-lint, and govulncheck where its data can be had
	scripts/lint.sh

bench: build ## figures against rivals, printed as the tables of bench/README.md
	scripts/venv.sh xgboost lightgbm mlserver
	scripts/servers.sh
	CGO_ENABLED=0 $(GO) run ./bench

interop: build ## real clients from PyPI against a running server
	scripts/interop.sh

nightly: build ## long fuzzing of every parser, and kill loops
	scripts/nightly.sh

clean:
	rm -rf bin .venv .tools bench/out
