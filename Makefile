# Everything from a bare checkout: `make demo`, `make test`. Nothing is needed but Python 3.11 with venv and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lint format bench fuzz audit lock clean

$(STAMP): requirements.lock pyproject.toml
	@# Debian keeps ensurepip in a package of its own (python3-venv); without it the system's pip installs pip.
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --without-pip --clear $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: $(STAMP)  ## the whole loop in one command; options in ARGS, e.g. ARGS="--faults none --json"
	@$(BIN)/shadow demo $(ARGS)

# Tests wait for others most of the time: three of them share two cores, each with a PostgreSQL of its own.
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal

test: $(STAMP)  ## the everyday suite (under 15 minutes on two cores)
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(STAMP)
	$(PYTEST) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## make bench NAME=accept
	@test -n "$(NAME)" || { echo "which one? make bench NAME=accept"; exit 2; }
	@$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

fuzz: $(STAMP)  ## schemathesis against the API, then every fuzzer for two minutes; make fuzz ARGS="--seconds 30"
	@$(BIN)/python -m tests.fuzz.schema --examples 50 --seconds 600
	@$(BIN)/python -m tests.fuzz $(ARGS)

audit: $(STAMP)  ## known vulnerabilities of what is installed
	@bash .ci/audit

lock: $(STAMP)  ## pin anew; the file names no registry
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --generate-hashes --allow-unsafe --strip-extras --extra dev -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
