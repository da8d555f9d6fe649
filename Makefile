SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(wildcard proto/authz_service/api/v1/*.proto)
GENERATED := authz_service/api/v1
PYTEST_ARGS ?=
BENCH_ARGS ?=
IMAGE ?= authz-service
BASE_IMAGE ?= python:3.13-slim

.PHONY: help
help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## Make .venv with the locked requirements

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: setup ## Set up, load the demo of June 2020, serve it, and print calls to try
	$(BIN)/python -m authz_service.demo

.PHONY: demo
demo: run ## The same as `make run`

.PHONY: test
test: setup ## Run every test, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: setup ## Run the tests that take no time
	$(BIN)/python -m pytest -m "not slow and not postgres" $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Style, layers of the rooms, protocol
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	cd proto && ../$(BIN)/buf lint
	cd proto && ../$(BIN)/buf format --diff --exit-code

.PHONY: type
type: setup ## Types, strictly
	$(BIN)/mypy authz_service tests bench supply

.PHONY: drift
drift: setup ## Whether the generated code is that of proto/
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && mkdir -p $$scratch/$(GENERATED) && \
	$(MAKE) --no-print-directory generate OUT=$$scratch && touch $$scratch/$(GENERATED)/__init__.py && \
	diff -r -x __pycache__ $$scratch/$(GENERATED) $(GENERATED) || { echo "generated code is stale: run make proto"; exit 1; }

.PHONY: check
check: lint type drift test ## All that CI runs

.PHONY: check-long
check-long: check ## What takes an hour: every property with many more examples
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/property tests/contract tests/unit/audit --timeout 3600
	AUTHZ_TEST_ORACLE_SAMPLES=1500 $(BIN)/python -m pytest tests/e2e/test_same_times.py --timeout 3600
	AUTHZ_TEST_ATTACK_SECONDS=30 $(BIN)/python -m pytest tests/e2e/test_abuse.py --timeout 600
	AUTHZ_TEST_OUTAGE_SECONDS=90 $(BIN)/python -m pytest tests/e2e/test_shipping_faults.py tests/e2e/test_postgresql_faults.py --timeout 3600
	AUTHZ_TEST_IMPORTS=1000 AUTHZ_TEST_IMPORT_PATIENTS=40000 AUTHZ_TEST_IMPORT_KILLS=20 \
	  $(BIN)/python -m pytest tests/contract/facts/test_import_at_once.py \
	  tests/contract/facts/test_import_at_length.py --timeout 3600
	AUTHZ_TEST_CANCELLED_TRIALS=100000 $(BIN)/python -m pytest tests/e2e/test_cancelled_calls.py --timeout 3600
	AUTHZ_TEST_REVOCATIONS=10000 $(BIN)/python -m pytest tests/e2e/test_two_replicas.py --timeout 3600
	AUTHZ_TEST_BRAKE_TRIALS=50 $(BIN)/python -m pytest tests/e2e/test_brake_under_load.py --timeout 3600
	AUTHZ_TEST_HISTORIES=500 AUTHZ_TEST_FEED_WRITES=2000 AUTHZ_TEST_WATCH_KILLS=20 AUTHZ_TEST_WATCH_CHANGES=100000 \
	  $(BIN)/python -m pytest tests/contract/facts/test_facts_as_of.py tests/contract/facts/test_change_feed.py \
	  tests/e2e/test_watch_facts.py --timeout 3600

.PHONY: proto
proto: setup ## Generate code from proto/
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format -w
	rm -f $(GENERATED)/*_pb2*
	$(MAKE) --no-print-directory generate OUT=.

.PHONY: generate
generate:
	cd proto && PATH="$(CURDIR)/$(BIN):$$PATH" ../$(BIN)/python -m grpc_tools.protoc -I. \
	  --python_out=$(abspath $(OUT)) --grpc_python_out=$(abspath $(OUT)) \
	  --mypy_out=quiet:$(abspath $(OUT)) --mypy_grpc_out=quiet:$(abspath $(OUT)) $(PROTOS:proto/%=%)

.PHONY: bench
bench: setup ## Measure everything of docs/benchmarks.md in one run
	$(BIN)/python -m bench

.PHONY: bench-scale
bench-scale: setup ## Measure what size costs: up to ten million recordings on PostgreSQL
	$(BIN)/python -m bench.scale $(BENCH_ARGS)

.PHONY: lock
lock: setup ## Lock the requirements anew
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header --group dev pyproject.toml -o requirements-dev.lock

.PHONY: sbom
sbom: setup ## List what the service is made of: CycloneDX JSON in var/sbom.cdx.json
	$(BIN)/python -m supply.sbom

.PHONY: audit
audit: setup ## Ask whether a known vulnerability is in what is locked; needs the network
	$(BIN)/python -m supply.audit

.PHONY: image
image: ## Build the container image
	docker build --build-arg BASE_IMAGE=$(BASE_IMAGE) --tag $(IMAGE) .

.PHONY: clean
clean: ## Remove what was made: environment, demo, benchmark; never a registry or journal of yours
	rm -rf $(VENV) var/demo var/bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
