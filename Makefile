# The handful of commands people use. Everything is set up by itself in .venv.
PYTHON ?= python3
BIN := .venv/bin
export AFREGNING_HOME ?= $(CURDIR)/data/instance

# The tests start many processes: what they import is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test heavy spark bench lint

help:  ## shows this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(AFREGNING_HOME)/settings.toml: | .venv/ready
	$(BIN)/afregning new --municipality 661 --with-demo-users
	$(BIN)/afregning demo
	$(BIN)/python -m orchestration.demo_history

run: .venv/ready $(AFREGNING_HOME)/settings.toml  ## sets up, makes a demo instance if there is none, runs the pipeline, serves
	$(BIN)/afregning run
	$(BIN)/afregning up

test: .venv/ready lint  ## sets up and passes the tests
	$(BIN)/pytest -n 3 -m "not heavy and not spark"

heavy: .venv/ready  ## the seldom-needed tests: many more generated worlds, larger populations, the register on PostgreSQL again
	$(BIN)/pytest -n 3 -m heavy

.venv/spark: requirements-spark.lock .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements-spark.lock
	touch $@

spark: .venv/spark  ## the engine on a Spark cluster that the tests start beside DuckDB (Java 17, some minutes, 3 GiB)
	$(BIN)/pytest -m spark

bench: .venv/ready  ## how fast engine, booking, intake and pages are, up to a whole country (half an hour, 4 GiB)
	$(BIN)/python tests/benchmarks/engine.py
	$(BIN)/python tests/benchmarks/booking.py
	$(BIN)/python tests/benchmarks/intake.py
	$(BIN)/python tests/benchmarks/matching.py
	$(BIN)/python tests/benchmarks/invoice_page.py
	$(BIN)/python tests/benchmarks/invoices.py 1
	$(BIN)/python tests/benchmarks/pages.py

lint: .venv/ready
	$(BIN)/ruff check .
