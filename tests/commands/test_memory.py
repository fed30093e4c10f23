"""Freed memory stays in the process. The tests count page faults in a separate process."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from torchreid_rgbir.commands import memory

CODE = """
import resource, sys
import torch
from torchreid_rgbir.commands.memory import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.ones(2**24)  # 64 MiB, more than glibc keeps by default
before = faults()
for _ in range(16):  # one or two may get a different address, if a small object took their place
    torch.ones(2**24)
print(faults() - before)
"""
PAGES = 16 * 2**26 // 4096


def num_faults(*argv, **variables):
    without = {
        name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES" and not name.startswith("MALLOC_")
    }
    run = subprocess.run(
        [sys.executable, "-c", CODE, *argv], env={**without, **variables}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="glibc's"
)
def test_freed_memory_is_used_again():
    assert num_faults() > PAGES / 2
    assert num_faults("keep") < PAGES / 4
    assert num_faults("keep", MALLOC_PERTURB_="0") > PAGES / 2  # a setting of the user has priority


@pytest.fixture
def no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("accepted", "thresholds"), [(1, [memory.MMAP_THRESHOLD, memory.TRIM_THRESHOLD]), (0, [memory.MMAP_THRESHOLD])]
)
def test_a_glibc_that_rejects_the_first_threshold_keeps_both(monkeypatch, no_settings, accepted, thresholds):
    set_to = []
    monkeypatch.setattr(memory.sys, "platform", "linux")
    library = SimpleNamespace(mallopt=lambda threshold, value: set_to.append(threshold) or accepted)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    memory.keep_freed_memory()
    assert set_to == thresholds
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1000000")
    memory.keep_freed_memory()
    assert set_to == thresholds


def test_other_c_libraries_are_left_alone(monkeypatch, no_settings):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(memory.ctypes, "CDLL", None)  # must not be called
    memory.keep_freed_memory()
