# Everything runs in .venv. The first target that needs it creates it.
VENV := .venv
PYTHON := $(VENV)/bin/python
# In these files the tests must cover every line.
TESTED := torchreid_rgbir/losses/*,torchreid_rgbir/metrics/*,torchreid_rgbir/protocols/*,torchreid_rgbir/data/sampler.py,torchreid_rgbir/files/checkpoint*.py

.PHONY: quickstart test test-gpu faults coverage lint check docs results clean

quickstart: $(VENV)/.ready
	$(PYTHON) -m torchreid_rgbir quickstart --out log/quickstart

# The tests of a file run in one process, because they share its fixtures. Each process uses one thread: more would compete for cores.
test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

test-gpu: $(VENV)/.ready
	$(PYTHON) -m pytest -m gpu -rs

faults: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/faults tests/test_interrupt.py -m "faults or not faults" -s

coverage: $(VENV)/.ready
	$(PYTHON) -m coverage run -m pytest
	$(PYTHON) -m coverage report
	$(PYTHON) -m coverage report --include="$(TESTED)" --show-missing --fail-under=100

lint: $(VENV)/.ready
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pylint torchreid_rgbir tools

check: lint coverage docs

# Builds the documentation site in site/, with the API from the docstrings. A broken link or a warning is an error.
docs: $(VENV)/.ready
	$(PYTHON) -m zensical build --clean --strict

$(VENV)/.ready: setup.py
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

# Computes the figures of docs/results.md. It takes hours on two cores; finished runs are kept.
results: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m torchreid_rgbir ablation --out log/ablation

clean:
	rm -rf $(VENV) log build dist *.egg-info .coverage
