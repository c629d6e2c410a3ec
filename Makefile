# Every command that a person or a machine needs. `make help` lists them.
#
# Nothing here relies on a cache: what is missing is installed or built (scripts/setup) outside the repository.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Every crate with tests that need PostgreSQL says so by this feature; scripts/with-postgres gives them one.
COMMA := ,
SPACE := $(subst ,, )
DATABASE_CRATES := $(shell sed -s -n '/^postgres-tests *=/F' crates/*/Cargo.toml | sed 's|crates/\(.*\)/Cargo.toml|\1|')
DATABASE_TESTS := $(subst $(SPACE),$(COMMA),$(DATABASE_CRATES:%=%/postgres-tests))
PYTHON = $(shell scripts/venv)

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Build, start with a demo fleet, and print a call to try
	cargo build --release -p bailiwick
	@exec "$${CARGO_TARGET_DIR:-target}/release/bailiwick" serve --demo

.PHONY: check
check: ## The fast loop: formatting, lints, unit tests; needs nothing but Rust
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

.PHONY: test
test: setup ## Everything, on a fresh Debian with Rust and build-essential: check, databases, docs, licences, e2e
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features $(DATABASE_TESTS) -- -D warnings
	scripts/with-postgres cargo test --workspace --features $(DATABASE_TESTS)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet
	scripts/deny
	$(MAKE) --no-print-directory e2e

.PHONY: e2e
e2e: setup ## Real API server, real databases, official SDKs; ARGS='-k squatted' is handed to pytest
	scripts/static
	BAILIWICK_TEST_CLOCK_BIN="$$(realpath "$$(scripts/test-clock dev)")" && export BAILIWICK_TEST_CLOCK_BIN && \
		export BAILIWICK_AGENT_TEST_CLOCK_BIN="$${BAILIWICK_TEST_CLOCK_BIN%/*}/bailiwick-agent-test-clock" && \
		cd e2e && $(PYTHON) -m pytest $(ARGS)

.PHONY: static
static: ## Build the program so that it needs no library of the machine it runs on
	scripts/static

.PHONY: dist
dist: static ## Archive, container image and checksums in dist/, for machines without Rust
	scripts/dist "$${CARGO_TARGET_DIR:-target}/release/bailiwick" dist

.PHONY: bench
bench: setup ## Figures as ratios, each beside its peer in one run; never part of the tests
	cargo build --release -p bailiwick -p agent -p benches
	cargo run --release --manifest-path benches/cedar/Cargo.toml
	@release="$${CARGO_TARGET_DIR:-target}/release"; set -e; \
	"$$release/benches" signature; \
	"$$release/benches" reads "$$release/bailiwick"; \
	"$$release/benches" tokens "$$release/bailiwick" benches/keystone.py; \
	scripts/with-postgres --durable sh -c "'$$release/benches' permissions '$$release/bailiwick' \"\$$BAILIWICK_TEST_POSTGRES\""; \
	scripts/with-postgres --durable sh -c "'$$release/benches' writes '$$release/bailiwick' \"\$$BAILIWICK_TEST_POSTGRES\""; \
	$(PYTHON) benches/vending.py "$$release/bailiwick" "$$release/benches"; \
	$(PYTHON) benches/fleet.py "$$release/bailiwick" "$$release/benches" $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz each target for SECONDS (600)
	scripts/fuzz signature $(or $(SECONDS),600)
	scripts/fuzz policy $(or $(SECONDS),600)
	scripts/fuzz token $(or $(SECONDS),600)
	scripts/fuzz admission $(or $(SECONDS),600)

.PHONY: setup
setup: ## Install and build what the tests need, outside the repository
	@scripts/setup

.PHONY: deny
deny: ## Banned crates, licences and sources; builds cargo-deny once
	scripts/deny

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
