# What one can do here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=
# Which benchmarks, by their names with commas; and whether only to see that they work.
ONLY ?=
SHORT ?=
# Whether a release is audited, for which each package must be known.
STRICT ?=
# How long `make fuzz` tries each reader.
FUZZ_SECONDS ?= 300
# Where the demo keeps its store: directory or s3.
STORE ?= directory

.PHONY: help demo screenshots fuzz test test-engines check audit conformance bench serve channel lint types imports format clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("pullforge needs Python 3.11 or later; set PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . --group test
	@# Where PYTHONDONTWRITEBYTECODE is set, each of the many processes that are started would compile;
	@# some packages have templates, which do not.
	-@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib builder registry >/dev/null 2>&1
	@touch $@

demo: $(INSTALLED) ## make the local channel, start a server, pull env/numpy.pandas, run it, fill its pages (STORE=s3)
	$(BIN)/python -m conformance.demo --store=$(STORE)

screenshots: $(INSTALLED) ## take the documentation's pictures of the pages, with Debian's chromium (docs/images)
	$(BIN)/python -m conformance.pages.screenshots

test: $(INSTALLED) ## run every test that needs no engine (ARGS="-k name" is handed to pytest)
	$(BIN)/python -m pytest -m "not engine" -n auto --dist loadfile \
	  --no-loadscope-reorder $(ARGS)

test-engines: $(INSTALLED) ## install engines and brokers, as root, and run the tests that need them
	.ci/install
	# Three at once, as they mostly wait for engines; in order, or one long test would be left to the
	# end. Those with workers start three servers and three workers each, and kill them: one by one.
	CI=true $(BIN)/python -m pytest -m engine -n 3 --dist loadfile --no-loadscope-reorder \
	  --ignore conformance/workers $(ARGS)
	CI=true $(BIN)/python -m pytest -m engine conformance/workers $(ARGS)

check: lint types imports ## lint, types, import contracts, and the unit tests with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term -n auto --dist loadfile tests builder registry

audit: $(INSTALLED) ## ask PyPI or OSV whether a package of the image is known to be vulnerable (STRICT=1)
	$(BIN)/python -m conformance.deploy.audit $(if $(STRICT),--strict)

conformance: $(INSTALLED) ## run the official OCI suite and 10 000 generated requests (results/oci)
	FUZZ_EXAMPLES=2500 $(BIN)/python -m pytest tests/registry/web/distribution/test_fuzz.py conformance/oci

fuzz: $(INSTALLED) ## 10 000 odd requests to every route, then every reader for FUZZ_SECONDS, led by coverage
	FUZZ_REQUESTS=10000 $(BIN)/python -m pytest -s tests/fuzz/test_routes.py tests/fuzz/test_catalog.py
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group fuzz
	$(BIN)/python -m tests.fuzz --seconds=$(FUZZ_SECONDS) $(ARGS)

bench: $(INSTALLED) ## measure against docker-registry and others (ONLY=first-pull,herd; SHORT=1)
	$(BIN)/python -m benchmarks --only="$(ONLY)" $(if $(SHORT),--short)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

format: $(INSTALLED) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: $(INSTALLED) ## serve for real: conda-forge, Debian as base (see docs/settings.md)
	$(BIN)/pullforge serve

channel: $(INSTALLED) ## make the local conda channel, base image and PyPI index
	$(BIN)/python -m conformance.channel build
	$(BIN)/python -m conformance.pypi build

clean: ## remove the virtual environment and caches in this directory
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
