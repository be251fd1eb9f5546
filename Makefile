# Sets everything up in .venv on a machine that has Python >= 3.11, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# more than two cores: tests of clusters and of kills wait for more than half of their time
WORKERS ?= 3
# as pip compiles what it copies: where nothing may write bytecode, every start took half a second longer
COMPILE := @$(BIN)/python -m compileall -q pipeline

.PHONY: help setup demo test lint unit explore bench docs docs-links dist clean

help:
	@echo "make demo    set up, simulate an acquisition, fuse it, say how close it came"
	@echo "             (photographs instead: .venv/bin/fusestack demo --focus)"
	@echo "make test    set up, lint, check types, run all tests"
	@echo "make lint    linter and type checker only"
	@echo "make unit    tests only"
	@echo "make explore tests with examples that were never tried"
	@echo "make bench   benchmarks (minutes; peers are measured where they are installed)"
	@echo "make dist    source distribution and wheel in dist/, checked"
	@echo "make docs    documentation into docs/_build/html, offline; warnings are errors"
	@echo "make docs-links  asks for every link of it that leads elsewhere"
	@echo "make clean   remove .venv, caches and the demo"

# .installed: the program; .test-ready: the program with what its tests need
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "fusestack needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml
	@echo "installing fusestack into $(VENV) ..."
	$(PIP) install -e .
	$(COMPILE)
	@touch $@

$(VENV)/.test-ready: $(VENV)/.python pyproject.toml
	@echo "installing fusestack and its tests into $(VENV) ..."
	$(PIP) install -e ".[test,dev]"
	@touch $(VENV)/.installed $@

setup: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/fusestack demo demo

test: lint unit

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/.test-ready
	$(COMPILE)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --hypothesis-profile=landing

explore: $(VENV)/.test-ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

bench: $(VENV)/.test-ready
	$(BIN)/python benchmarks/kernels.py

dist: $(VENV)/.test-ready
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

$(VENV)/.docs-ready: $(VENV)/.python pyproject.toml
	@echo "installing fusestack and what builds its documentation into $(VENV) ..."
	$(PIP) install -e ".[docs,align,tune,mesh]"
	@touch $(VENV)/.installed $@

docs: $(VENV)/.docs-ready
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html; links that lead elsewhere: docs/_build/html/external-links.txt"

docs-links: $(VENV)/.docs-ready
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links

clean:
	rm -rf docs/_build docs/made $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist pipeline/*.egg-info demo
