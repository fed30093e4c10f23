"""Keeps freed memory in the process instead of returning it to the system. This makes CPU training faster."""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in glibc's malloc.h
LARGEST = 2**31 - 1  # bytes, the largest C int


def keep_freed_memory() -> None:
    """Lets glibc keep up to 2 GiB of freed memory.

    Other C libraries and users' own MALLOC_ or GLIBC_TUNABLES settings are left alone.

    A training step on a CPU frees gigabytes and allocates them again. If the system gets them back in between, every
    page costs a page fault and is cleared again. docs/performance.md has the figures.
    """
    own = [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]
    if sys.platform != "linux" or own:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
    # Setting one threshold fixes the other at its small default, and older versions of glibc reject an mmap threshold
    # this high.
    if mallopt is not None and mallopt(MMAP_THRESHOLD, LARGEST):
        mallopt(TRIM_THRESHOLD, LARGEST)
