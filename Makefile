# Everything runs in .venv, which the first target that needs it makes.
VENV := .venv
PYTHON := $(VENV)/bin/python
# Where no line may go untested.
TESTED := torchreid_rgbir/losses/*,torchreid_rgbir/metrics/*,torchreid_rgbir/protocols/*,torchreid_rgbir/data/sampler.py,torchreid_rgbir/files/checkpoint*.py

.PHONY: quickstart test test-gpu faults coverage lint check docs results clean

quickstart: $(VENV)/.ready
	$(PYTHON) -m torchreid_rgbir quickstart --out log/quickstart

# A file's tests stay together: they share what its fixtures made. A thread each, since processes that wait for each other's threads crawl.
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

# A site of README and docs/, with the API from the docstrings, in site/; a broken link or a warning ends it.
docs: $(VENV)/.ready
	$(PYTHON) -m zensical build --clean --strict

$(VENV)/.ready: setup.py
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

# Some hours on two cores: figures of docs/results.md; finished runs are kept.
results: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(PYTHON) -m torchreid_rgbir ablation --out log/ablation

clean:
	rm -rf $(VENV) log build dist *.egg-info .coverage
