# Set-up happens once, in stamp files under .venv; the second run of any target is quick.
#   make PYTHON=python3.12 demo      uses another interpreter

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
WHEELS := dist
WHEEL_TARGETS ?= x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu

# .ci/run sets CI=true: there a skipped test is a failure, because every real component is installed.
PYTEST := $(PY) -m pytest $(if $(filter true,$(CI)),-p tests.no_skips)
PARALLEL := -n auto --dist worksteal
DEMO_ARGS ?=

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)

RUST_SOURCES := $(wildcard Cargo.toml Cargo.lock) $(shell find rust -type f \( -name '*.rs' -o -name Cargo.toml \) 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-native test-pure test-slow test-nat test-rust test-no-rust nat-setup nat-matrix lint format licenses wheel sdist docs bench bench-smoke clean soak fuzz

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.native ## Create .venv, install the dependencies, build the Rust extension

$(VENV)/.dependencies: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' here; install Python 3.11 or newer, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $$($(PYTHON) --version) is too old; Python 3.11 or newer is needed (make PYTHON=python3.12 ...)" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "make: $(PYTHON) cannot create a virtual environment (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "make: installing the Python dependencies into $(VENV)"
	@$(PY) -m pip install --quiet uv
	@$(PY) -m uv pip install --quiet --python $(PY) -r pyproject.toml --extra cli --group dev
	@touch $@

$(VENV)/.native: $(VENV)/.dependencies pyproject.toml $(RUST_SOURCES)
	@command -v cargo >/dev/null \
	  || { echo "make: no Rust toolchain here (cargo not found); install one, see https://rustup.rs" >&2; exit 1; }
	@echo "make: building the Rust extension (about a minute the first time)"
	@$(PY) -m maturin develop --release --uv --quiet
	@touch $@

demo: $(VENV)/.native ## Four nodes find each other, lose the one they all knew, and get it back
	@$(BIN)/mina-webrtc demo $(DEMO_ARGS)

test: test-rust test-pure test-native test-slow ## Run every test: Rust, and Python on both backends

test-rust: $(VENV)/.dependencies
	cargo test --workspace --quiet

test-native: $(VENV)/.native
	MINA_WEBRTC_BACKEND=native $(PYTEST) $(PARALLEL) -m "not slow and not nat"

test-pure: $(VENV)/.native
	MINA_WEBRTC_BACKEND=pure $(PYTEST) $(PARALLEL) -m "not slow and not nat"

test-no-rust: ## Run the Python tests in an environment that has neither Rust nor the extension
	bash .ci/no-rust

test-slow: $(VENV)/.native
	MINA_WEBRTC_BACKEND=native $(PYTEST) -m slow --timeout 600

# Network namespaces, iptables, coturn. Root only; without, the tests are skipped.
test-nat: $(VENV)/.native ## Run the tests behind NATs and over bad networks (root; needs nat-setup)
	MINA_WEBRTC_BACKEND=native $(PYTEST) -m nat tests/nat

nat-setup: ## Install what test-nat needs, from Debian's packages (root)
	@for tool in turnserver iptables conntrack ip; do command -v $$tool >/dev/null || missing=1; done; test -z "$$missing" \
	  || { apt-get update -qq && apt-get install -y -qq --no-install-recommends coturn iptables conntrack iproute2 >/dev/null; }

nat-matrix: $(VENV)/.native ## Run every pair of NATs and write docs/nat-matrix.md (root, 10 minutes)
	$(PY) -m tests.nat.matrix

# Checking links nothing: libFuzzer is named and not built, which would take a C++ compiler.
FUZZ_LINT := CUSTOM_LIBFUZZER_PATH=none/libfuzzer.a

lint: $(VENV)/.native ## Check formatting, style and types of Python and Rust
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	$(FUZZ_LINT) cargo clippy --locked --manifest-path rust/fuzz/Cargo.toml --target-dir target/fuzz --quiet -- -D warnings
	$(PY) tools/third_party.py --check

format: $(VENV)/.dependencies ## Format Python and Rust in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cargo fmt --all
	cargo fmt --manifest-path rust/fuzz/Cargo.toml

licenses: $(VENV)/.dependencies ## Write THIRD_PARTY_LICENSES.txt anew, after a change of Cargo.lock
	$(PY) tools/third_party.py

# zig is the linker: it knows the symbols of the glibc that manylinux2014 has, and of other processors.
wheel: $(VENV)/.dependencies sdist ## Build portable wheels (x86-64, arm64) and the source distribution into dist/
	@for target in $(WHEEL_TARGETS); do \
	  if ! test -d "$$(rustc --print target-libdir --target $$target)" && ! rustup --quiet target add $$target; then \
	    echo "make: NO WHEEL for $$target: its Rust standard library is not installed (rustup target add $$target)" >&2; \
	    continue; \
	  fi; \
	  echo "make: building the wheel for $$target"; \
	  $(PY) -m maturin build --release --quiet --zig --compatibility manylinux2014 --target $$target --out $(WHEELS) || exit 1; \
	done
	$(PY) tools/check_wheel.py $(WHEELS)
	@ls $(WHEELS)

sdist: $(VENV)/.dependencies
	@command -v cargo >/dev/null \
	  || { echo "make: no Rust toolchain here (cargo not found); install one, see https://rustup.rs" >&2; exit 1; }
	@rm -rf $(WHEELS)
	$(PY) -m maturin sdist --out $(WHEELS)

docs: $(VENV)/.dependencies ## Build the guide and the API reference into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

FUZZ_SECONDS ?= 60
CRATE_FUZZ := base58 bin_prot frames identity
fuzz: $(VENV)/.native ## Fuzz the core crate (nightly Rust, cargo-fuzz) and both backends (atheris); finds go to .build/corpus
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@$(PY) -m uv pip install --quiet --python $(PY) -r pyproject.toml --group fuzz
	@mkdir -p $(addprefix .build/corpus/,$(CRATE_FUZZ) json address sdp message)
	@for target in $(CRATE_FUZZ); do \
	  cargo +nightly fuzz run --fuzz-dir rust/fuzz $$target .build/corpus/$$target tests/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done
	@for target in $(CRATE_FUZZ) json address sdp message; do \
	  $(PY) -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=.build/ .build/corpus/$$target tests/corpus/$$target || exit 1; \
	done

SEEDS ?= 1000
soak: $(VENV)/.native ## Run SEEDS simulated networks (default 1000); a failing one prints how to repeat it
	$(PY) -m mina_webrtc.testing.simulate --runs $(SEEDS)

bench: $(VENV)/.native ## Run the benchmarks; figures go to benches/results/summary.json and docs/benchmarks.md
	cargo bench --quiet --package mina-webrtc-core
	$(PY) -m benches

bench-smoke: $(VENV)/.native
	cargo bench --quiet --package mina-webrtc-core -- --test
	$(PY) -m benches --smoke

clean: ## Remove everything that was built
	rm -rf $(VENV) target $(WHEELS) site .build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find python tests benches -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/mina_webrtc/_native*.so
