# The one door. On a fresh machine with Python 3.11+ and make, any target installs what it needs into .venv.
#
#   make demo    five thousand synthetic students, three nights, one page to read
#   make test    install and run the tests            make test TESTS=tests/etl
#   make lint    ruff and mypy --strict
#   make bench   the attendance night against bare and naive scripts; record files beside pycanon; state tables; linking
#   make pycanon an environment of its own for pycanon, which only bench and slow tests ask
#   make spark   linking on Spark beside DuckDB, in an environment of its own (needs Java 17)
#   make clkhash another for clkhash and anonlink, which only bench asks
#   make crash   the slow matrices
#   make docs    rewrite the pages that are made from code
#   make house   sizes of files and functions
#   make lock    choose versions anew (needs the network)

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
ROOTS := etl schemas pipelines privacy
JOBS ?= 2
TESTS ?= tests
ARGS ?=

PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
UV := $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench pycanon clkhash spark crash docs house lock install clean

help:
	@sed -n 's/^#   make/  make/p' Makefile

demo: $(VENV)/.runtime
	$(BIN)/wellbridge demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow" $(ARGS) $(TESTS)

crash: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(JOBS) -m slow $(ARGS) $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check $(ROOTS) tests bench scripts
	$(BIN)/mypy $(ROOTS)

bench: $(VENV)/.dev
	$(BIN)/python bench/nightly.py $(ARGS)
	$(BIN)/python bench/anonymity.py
	$(BIN)/python bench/tables.py
	$(BIN)/python bench/noise.py
	$(BIN)/python bench/identity.py
	$(BIN)/python bench/identity_hub.py
	$(BIN)/python bench/encoded.py

# Not in the locked set: nothing that is shipped or tested by default needs it.
pycanon: $(VENV)-pycanon/bin/pycanon

$(VENV)-pycanon/bin/pycanon:
	PYTHON="$(PYTHON)" sh scripts/venv.sh $(VENV)-pycanon
	$(VENV)-pycanon/bin/python -m pip --disable-pip-version-check install --quiet "pycanon==1.3.6"

# Pins a cryptography with known holes, so it is never in the locked set; anonlink has a wheel for Python 3.11 alone.
clkhash: $(VENV)-clkhash/.made

$(VENV)-clkhash/.made:
	PYTHON="$(PYTHON)" sh scripts/venv.sh $(VENV)-clkhash
	$(VENV)-clkhash/bin/python -m pip --disable-pip-version-check install --quiet "clkhash==0.18.3"
	-$(VENV)-clkhash/bin/python -m pip --disable-pip-version-check install --quiet --only-binary :all: "anonlink==0.15.3"
	touch $@

# Spark is half a gigabyte, so it is not in the locked set.
spark: $(VENV)-spark/.made
	$(VENV)-spark/bin/python -m pytest -q -W ignore::FutureWarning -m slow tests/etl/identity/test_spark.py

$(VENV)-spark/.made: requirements-dev.lock
	PYTHON="$(PYTHON)" sh scripts/venv.sh $(VENV)-spark
	$(VENV)-spark/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements-dev.lock
	$(VENV)-spark/bin/python -m pip --disable-pip-version-check install --quiet "pyspark==4.3.0"
	$(VENV)-spark/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-index --no-build-isolation -e .
	touch $@

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/python -m wellbridge.pipelines.measures.document > docs/measures.md

house: $(VENV)/.dev
	$(BIN)/python scripts/house_report.py

install: $(VENV)/.dev

# -- environment -------------------------------------------------------------------------------------------
# Stamps: nothing is installed again until a lock file or pyproject.toml changes.

$(VENV)/.made:
	@PYTHON="$(PYTHON)" sh scripts/venv.sh $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml requirements.lock requirements-build.lock
	@echo "Installing the locked set (once; about a minute)"
	@$(PIP) -r requirements-build.lock -r requirements.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-index --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "Installing the tools for tests and lint (once)"
	@$(PIP) -r requirements-dev.lock
	@touch $@

# -- lock --------------------------------------------------------------------------------------------------
# Every version with the hashes of all its files, for every platform and Python >= 3.11. No index is named, so
# that a site may install from its own mirror.

lock: $(VENV)-lock/bin/uv
	$(UV) $(ARGS) pyproject.toml -o requirements.lock
	$(UV) $(ARGS) pyproject.toml --extra dev --constraint requirements.lock -o requirements-dev.lock
	$(UV) $(ARGS) --group build --constraint requirements-dev.lock -o requirements-build.lock
	printf 'click\ncryptography\nnumpy\npolars\n' | $(UV) - --constraint requirements.lock -o requirements-encode.lock

$(VENV)-lock/bin/uv:
	PYTHON="$(PYTHON)" sh scripts/venv.sh $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --disable-pip-version-check install --quiet "uv>=0.11"

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-pycanon $(VENV)-clkhash $(VENV)-spark
