# What CI runs, and nothing that CI has of its own. Everything that is installed goes into .tools.

export CARGO_TARGET_DIR := $(CURDIR)/target
unexport ATTACHE_ENVOY

ENVOY := .tools/envoy-1.40.0/envoy
WASM := target/attache.wasm
STAGE := --envoy $(ENVOY) --wasm $(WASM) --config envoy.yaml

.PHONY: help demo up build test check chaos setup clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup build ## Start an issuer, an upstream and Envoy with the filter, and walk through the main job
	@echo 'demo: building attachectl'
	@cargo build --locked --package attachectl
	@target/debug/attachectl demo $(STAGE)

up: setup build ## Start the same and leave it running, with commands to try
	@echo 'up: building attachectl'
	@cargo build --locked --package attachectl
	@target/debug/attachectl up $(STAGE)

build: ## Build the filter: target/attache.wasm
	@tools/setup build
	@echo 'build: building the filter'
	@tools/link

test: ## Run all tests: lints, native, in V8, and end to end in the newest and the oldest supported Envoy
	@tools/setup test
	@tools/stages test

check: ## Run what is quick to run: lints, native tests, documentation, dependencies
	@tools/setup check
	@tools/stages check

chaos: setup build ## Rotate keys, fail the issuer and swap configurations under load, for minutes; ONLY=<name> for one scenario
	@echo 'chaos: building the load generator'
	@ATTACHE_ENVOY=$(CURDIR)/$(ENVOY) ATTACHE_WASM=$(CURDIR)/$(WASM) \
		cargo test --locked --quiet --test e2e_chaos -- --long $(ONLY)

setup: ## Install what the demo needs into .tools
	@tools/setup demo

clean: ## Remove what was built; `rm -rf .tools` removes what was installed
	@cargo clean --quiet
	@rm -rf tests/*/node_modules
