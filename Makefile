# The two commands of the README are `make demo` and `make test`; everything they need is made on the way.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORPUS ?= runs/corpus

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench diagnosis-benchmark samples clean

help: ## list these commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment and install everything into it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "babysit needs Python 3.11 or newer; try: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing babysit and what it needs into $(VENV) (a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY) ## train a real network and watch it live in the browser
	$(BIN)/babysit demo

test: $(READY) ## run every test (needs Chromium for the browser tests)
	$(BIN)/python -m pytest

check: $(READY) ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## measure what the probes and the run log cost
	$(BIN)/python -m benchmarks

diagnosis-benchmark: $(READY) ## train the corpus (resumable, an hour or two), judge it, write docs/diagnosis.md
	$(BIN)/python -m trainer.corpus --out $(CORPUS) || test -s $(CORPUS)/corpus.csv
	$(BIN)/python -m benchmarks.diagnosis.programs --folder $(CORPUS)-programs
	$(BIN)/python -m benchmarks.diagnosis --corpus $(CORPUS) --programs $(CORPUS)-programs --write docs/diagnosis.md

samples: $(READY) ## record the runs of sample_runs/ anew (a minute)
	$(BIN)/python -m trainer.corpus.samples sample_runs

clean: ## remove the virtual environment and caches (runs stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
