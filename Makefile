# Each target sets up what it needs in .venv, at the versions of constraints.txt, and only when that changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# In the environment and not on the command line, so that the tools that build packages are held to them too.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
SETUP := pyproject.toml constraints.txt

# One thread per process: two of them on two cores are slower than one, and the tests run two processes.
export OMP_NUM_THREADS := 1
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: help demo test test-all lint format types imports docs benchmark clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/' | column -t -s '|'

demo: $(VENV)/.runtime  ## simulate a patient, analyse the files, say where the report is
	$(BIN)/myoscope demo --out demo --overwrite
	@echo "Open it in a browser: $(CURDIR)/demo/result/report.html"

test: $(VENV)/.develop  ## run the tests, without the slow ones
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.develop  ## run all tests
	$(PYTEST)

lint: $(VENV)/.develop  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.develop  ## put imports and formatting right
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

types: $(VENV)/.develop  ## check types
	$(BIN)/mypy

imports: $(VENV)/.develop  ## check who imports whom
	$(BIN)/lint-imports

docs: $(VENV)/.develop  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in $(CURDIR)/site; open its index.html in a browser."

benchmark: $(VENV)/.develop  ## measure time and memory of one study
	$(BIN)/python benchmarks/analyze.py

clean:  ## remove what the other targets made
	rm -rf $(VENV) site demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Myoscope needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1 || echo missing)." \
	         "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment;" \
	         "on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: $(VENV)/bin/python $(SETUP)
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.develop: $(VENV)/bin/python $(SETUP)
	$(PIP) install --quiet --editable '.[train,validate,test,lint,docs]'
	@touch $@ $(VENV)/.runtime
