.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first interpreter of 3.11 or later; override with make PYTHON=/path/to/python3.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
READY := .venv/.ready
COMPILE := $(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-header --quiet
# Its dbt templater compiles the project, which needs a database but no data.
SQLFLUFF := PLUMBLINE_WAREHOUSE=:memory: $(BIN)/sqlfluff

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## make or update the virtual environment, as locked

# pip installs uv with its hash from the lock; uv installs the rest, twenty times faster than pip does. Where only pip
# knows the way to a package index, pip installs it all.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Plumbline needs Python 3.11 or later on PATH, or make PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment; install its venv module (Debian: python3-venv)"; exit 1; }
	@awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock --python $(BIN)/python || \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable . --python $(BIN)/python
	@touch $(READY)

.PHONY: demo
demo: $(READY) ## the whole path on a generated organisation, into data/demo
	@$(BIN)/plumbline demo

.PHONY: run
run: $(READY) ## the whole path on plumbline.yaml
	@$(BIN)/plumbline run

.PHONY: dev
dev: $(READY) ## open the Dagster UI on plumbline.yaml (another one: PLUMBLINE_CONFIG=…)
	@$(BIN)/plumbline dev

.PHONY: doctor
doctor: $(READY) ## check this machine and plumbline.yaml, change nothing
	@$(BIN)/plumbline doctor

.PHONY: test
test: $(READY) lint ## lint, then every test that takes less than a minute
	@$(BIN)/pytest -m "not slow"

.PHONY: test-all
test-all: $(READY) lint ## lint, then every test
	@$(BIN)/pytest

.PHONY: lint
lint: $(READY) ## ruff, sqlfluff, and the lock against the environment
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(SQLFLUFF) lint --quiet --disable-progress-bar --processes 2 dbt/models dbt/tests
	@$(BIN)/uv pip install --dry-run --quiet --require-hashes -r requirements.lock --python $(BIN)/python
	@$(BIN)/uv pip check --quiet --python $(BIN)/python

.PHONY: format
format: $(READY) ## let ruff and sqlfluff rewrite what they can
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet
	@$(SQLFLUFF) fix --quiet --disable-progress-bar dbt/models dbt/tests

.PHONY: bench
bench: $(READY) ## time the path on generated volumes, as ratios within one run
	@$(BIN)/python -m tests.bench

.PHONY: contracts
contracts: $(READY) ## rewrite the files that follow from dagster_project/contracts.py
	@$(BIN)/python -m dagster_project.contract_files

.PHONY: lock
lock: $(READY) ## resolve the dependencies anew within the bounds of pyproject.toml
	@$(COMPILE) --upgrade --output-file requirements.lock

.PHONY: clean
clean: ## remove the virtual environment and caches; data stays
	@rm -rf .venv .ruff_cache .pytest_cache .hypothesis dbt/target dbt/logs
