# What CI runs, and nothing that CI has of its own. Everything that is installed goes into .tools.

export CARGO_TARGET_DIR := $(CURDIR)/target
unexport ATTACHE_ENVOY

ENVOY := .tools/envoy-1.40.0/envoy
WASM := target/attache.wasm
STAGE := --envoy $(ENVOY) --wasm $(WASM) --config envoy.yaml

.PHONY: help demo up build image test mesh check chaos fuzz fuzz-oracles bench bench-quick microbench sizes reference setup clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

image: build ## Build the image for registries, without a container engine: target/image; prints its digest
	@echo 'image: building attache-image'
	@cargo build --locked --quiet --package attache-image
	@target/debug/attache-image $(WASM) target/image

test: ## Run all tests: lints, native, in V8, and end to end in the newest and the oldest supported Envoy
	@tools/setup test
	@tools/stages test

mesh: ## Run the filter under Istio and Envoy Gateway, with Keycloak's tokens; needs Go and a JDK; ONLY=<name> for one group
	@tools/setup mesh
	@echo 'mesh: building the filter'
	@tools/link
	@echo 'mesh: building attachectl, attache-image and the tests'
	@cargo build --locked --quiet --package attachectl
	@cargo build --locked --quiet --package attache-image
	@cargo test --locked --quiet --package attache-harness --test mesh --no-run
	@tools/mesh $(ONLY)

check: ## Run what is quick to run: lints, native tests, documentation, dependencies
	@tools/setup check
	@tools/stages check

chaos: setup build ## Rotate keys, fail the issuer and swap configurations under load, for minutes; ONLY=<name> for one scenario
	@echo 'chaos: building the load generator'
	@ATTACHE_ENVOY=$(CURDIR)/$(ENVOY) ATTACHE_WASM=$(CURDIR)/$(WASM) \
		cargo test --locked --quiet --package attache-harness --test e2e_chaos -- --long $(ONLY)

fuzz: ## Fuzz each target of fuzz/ for SECONDS=<60>, with progress; ONLY=<name> for one
	@tools/setup fuzz
	@tools/fuzz run $(or $(SECONDS),60) $(ONLY)

fuzz-oracles: ## Plant the mistakes of fuzz/mistakes one by one: the kept corpora have to show each to an oracle
	@tools/setup fuzz
	@tools/fuzz oracles $(ONLY)

bench: setup build reference ## Measure beside Envoy's own filters, for half an hour: docs/performance.md; ARGS='--parts growth' for one part
	@echo 'bench: building attache-bench'
	@cargo build --locked --quiet --release --package attache-bench
	@target/release/attache-bench --envoy $(ENVOY) --wasm $(WASM) $(ARGS)

bench-quick: setup build reference ## Measure the essential ratios, in less than a minute
	@echo 'bench: building attache-bench'
	@cargo build --locked --quiet --release --package attache-bench
	@target/release/attache-bench --envoy $(ENVOY) --wasm $(WASM) --quick $(ARGS)

microbench: ## Count the instructions of the core's pieces and compare with bench/instructions.txt, which it rewrites; needs valgrind
	@tools/setup microbench
	@tools/microbench

sizes: ## Which crate takes how much of the module
	@tools/setup build
	@CARGO_PROFILE_RELEASE_STRIP=none cargo build --locked --quiet --release --package attache --target wasm32-wasip1 --target-dir target/named
	@tools/sizes target/named/wasm32-wasip1/release/attache.wasm

reference:
	@echo 'bench: building the filters that do less'
	@for filter in noop verify_only; do \
		cargo build --locked --quiet --release --manifest-path bench/$$filter/Cargo.toml --target wasm32-wasip1 --target-dir target/$$filter || exit 1; \
	done

setup: ## Install what the demo needs into .tools
	@tools/setup demo

clean: ## Remove what was built; `rm -rf .tools` removes what was installed
	@cargo clean --quiet
	@rm -rf tests/*/node_modules
