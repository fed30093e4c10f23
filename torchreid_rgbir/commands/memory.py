"""What the C library does with memory that is freed: it stays with the process, for the next batch."""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, of malloc.h
LARGEST = 2**31 - 1  # bytes, what an int holds


def keep_freed_memory() -> None:
    """Lets glibc keep up to 2 GiB of what is freed; another library, or one that is set up by MALLOC_ variables or GLIBC_TUNABLES, is left alone.

    A training step on a CPU frees gigabytes and asks for the same again. Handed back in between, every page of them is a page fault and is cleared
    once more: docs/performance.md has what that costs.
    """
    given = [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]
    if sys.platform != "linux" or given:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    # Either alone would fix the other at its small default, and an older glibc refuses so high a threshold of mmap.
    if mallopt is not None and mallopt(MMAP_THRESHOLD, LARGEST):
        mallopt(TRIM_THRESHOLD, LARGEST)
