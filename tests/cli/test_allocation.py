import os
import platform
import subprocess
import sys

import pytest

from robench.cli import allocation

_PAGES = """
import resource
import numpy as np
from robench.cli.allocation import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = np.empty(2**26, dtype=np.uint8)
    block[::4096] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first, given = pages(), pages()
kept = keep_freed_memory()
pages()
print(kept, given, pages())
"""


def measured(**environment: str) -> tuple[bool, int, int]:
    """(whether memory is kept, the pages that a block of 64 MB is given without, and with it)."""
    bare = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    told = subprocess.run([sys.executable, "-c", _PAGES], capture_output=True, text=True,
                          check=True, env=bare | environment).stdout.split()
    return told[0] == "True", int(told[1]), int(told[2])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_a_freed_block_is_taken_again_without_new_pages():
    kept, given, again = measured()
    assert kept
    assert again < given / 10


def test_what_the_environment_says_is_left_alone():
    assert measured(MALLOC_ARENA_MAX="2")[0] is False
    assert measured(GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072")[0] is False


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert allocation.keep_freed_memory() is False
