"""What the C library does with memory that is freed: it stays with the process, for the next batch."""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, of malloc.h
LARGEST = 2**31 - 1  # bytes, what an int holds


def keep_freed_memory() -> None:
    """Lets glibc keep up to 2 GiB of what is freed; elsewhere, or where one of its MALLOC_ variables is set, nothing is changed.

    A training step on a CPU frees gigabytes and asks for the same again. Handed back in between, every page of them is a page fault and is cleared
    once more: docs/performance.md has what that costs.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        for threshold in (TRIM_THRESHOLD, MMAP_THRESHOLD):  # one alone would fix the other at its small default
            mallopt(threshold, LARGEST)
