"""A worker gives back the code that only starting up ran, and nothing that is its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serving.lean import _code_mappings

_SMAPS = """\
7f0000000000-7f0000100000 r-xp 00001000 08:01 42   /lib/one.so
Rss:                1024 kB
Anonymous:             0 kB
7f0000200000-7f0000300000 r-xp 00001000 08:01 43   /lib/relocated.so
Rss:                1024 kB
Anonymous:             4 kB
7f0000400000-7f0000500000 r--p 00001000 08:01 42   /lib/one.so
Anonymous:             0 kB
7f0000600000-7f0000700000 rw-p 00001000 08:01 42   /lib/one.so
Anonymous:             0 kB
7f0000800000-7f0000801000 r-xp 00000000 00:00 0   [vdso]
Anonymous:             0 kB
7f0000900000-7f0000a00000 r-xp 00001000 08:01 44   /lib/folder with spaces/two.so
Anonymous:             0 kB
"""


def test_only_code_as_it_stands_in_a_file_is_given_back() -> None:
    assert list(_code_mappings(_SMAPS)) == [(0x7F0000000000, 0x7F0000100000), (0x7F0000900000, 0x7F0000A00000)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
def test_a_process_goes_on_after_its_code_was_given_back() -> None:
    # In a process of its own: settling freezes what the collector would look at.
    code = """
import numpy, pyarrow, lightgbm
from pathlib import Path
from serving.lean import settle
def mapped():
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(told["RssFile"].split()[0])
before = mapped()
settle()
assert mapped() < 0.8 * before, (before, mapped())
assert pyarrow.array(numpy.arange(5)).to_pylist() == [0, 1, 2, 3, 4]
assert numpy.linalg.solve(numpy.eye(3), numpy.ones(3)).tolist() == [1.0, 1.0, 1.0]
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "alive", done.stderr
