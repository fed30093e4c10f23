# Everything runs in .venv, which the first target that needs it makes.
VENV := .venv
PYTHON := $(VENV)/bin/python

.PHONY: quickstart test faults lint check docs clean

quickstart: $(VENV)/.ready
	$(PYTHON) -m torchreid_rgbir quickstart --out log/quickstart

test: $(VENV)/.ready
	$(PYTHON) -m pytest

faults: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/faults -m "faults or not faults" -s

lint: $(VENV)/.ready
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

check: lint test

# A site of README and docs/, with the API from the docstrings, in site/; a broken link or a warning ends it.
docs: $(VENV)/.ready
	$(PYTHON) -m zensical build --clean --strict

$(VENV)/.ready: setup.py
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) log build dist *.egg-info
