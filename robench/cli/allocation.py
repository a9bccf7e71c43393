"""What this process does with memory that it has freed."""

from __future__ import annotations

import ctypes
import os
import platform

# Of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_BLOCK, _FREE = 2**30, 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, in blocks of up to 1 GiB and 2 GiB in all; gives
    whether it does.

    A pass of a network over images of 224×224 pixels takes some blocks of 20 to 200 MB and frees
    them again. The GNU C library returns such blocks to the system at once, which fills the next
    with zeros, page by page: a twelfth of the time of ResNet18 and of MedDef on a CPU, and half
    of a small network's (`benchmarks/perf/allocation.py`). Other C libraries are left alone, and
    so is one that the environment tells what to do.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ)
    told |= "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if told or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _BLOCK) and mallopt(_TRIM_THRESHOLD, _FREE))
